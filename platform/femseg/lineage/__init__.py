"""What an output, a package or a version was made from, link by link, each one comparable."""
