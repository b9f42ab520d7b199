"""Identification: persons enrolled in an index, the threshold, answers, and how good they are."""
