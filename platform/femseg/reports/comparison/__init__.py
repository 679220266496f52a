"""The report on raw against gradient: tables, figures, page."""
