"""A mask that a person corrected becomes the next version of a case's reference."""
