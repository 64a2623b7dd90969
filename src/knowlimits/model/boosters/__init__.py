"""Boosted trees by what their libraries write of them, a file each: the same text in memory and in files, from anybody.

A library's own text says all of a model and needs no library to be read. It may come from a source that nobody vouches for:
what is no tree, or names a column or class that is not there, is a ValueError, and memory is bounded by the text's length.
"""
