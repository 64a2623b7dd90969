"""Files: our own models, those of others, tables."""
