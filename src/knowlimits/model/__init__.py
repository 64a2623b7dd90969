"""What counts as a model, and the networks in it."""
