"""The page that `femseg check --html` writes."""
