"""Densities of the data: what is learnt of where they lie, and how it falls off."""
