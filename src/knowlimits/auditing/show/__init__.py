"""A report in words, and as a page."""
