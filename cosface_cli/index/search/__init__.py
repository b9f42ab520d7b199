"""Searching an index: the gallery, probes, filters of its rows, and hits."""
