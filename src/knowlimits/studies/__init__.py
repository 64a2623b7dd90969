"""The paper's experiments, the search's study and the real tables, each with its figures, settings and summaries."""
