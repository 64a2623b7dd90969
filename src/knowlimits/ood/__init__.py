"""Out-of-distribution detectors, each with its exact far field."""
