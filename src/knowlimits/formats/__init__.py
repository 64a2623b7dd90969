"""Model files that others wrote."""
