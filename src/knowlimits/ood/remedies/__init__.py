"""Remedies: classifiers that do not stay sure of themselves far away."""
