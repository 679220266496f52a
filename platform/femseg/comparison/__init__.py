"""Raw against gradient, paired by case."""
