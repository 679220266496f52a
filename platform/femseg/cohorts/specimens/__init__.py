"""Small studies that are right, odd but valid, or wrong in one known way: what `femseg make-fault` writes.

`catalogue` lists them; each module holds the makers of one carrier and their lines of the catalogue.
"""
