"""Embedding models: their identity, several as one, calibrations, weights to start from."""
