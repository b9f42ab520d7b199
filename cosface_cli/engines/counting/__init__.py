"""Scores of very many pairs, counted in blocks."""
