"""Naming persons and correcting groups."""
