"""Detectors of out-of-distribution inputs and remedies, each with its exact far field."""
