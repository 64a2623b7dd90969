"""`knowlimits detect`: scores and detectors on real tables."""
