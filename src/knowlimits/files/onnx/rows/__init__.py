"""Graphs of one input as graphs of many rows."""
