"""Programs of `torch.export`."""
