"""Small studies that are right, odd but valid, or wrong in one known way.

`catalogue` lists them; each module holds the makers of one carrier and their lines of the catalogue.
"""
