"""The report as a page: templates, styles, pieces of its program, and what its parts show of what was found."""
