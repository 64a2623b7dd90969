"""What people do with the library: python -m examples.medical, and so on."""
