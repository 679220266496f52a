"""The page of one segmented CT, and the index page over those of a folder."""
