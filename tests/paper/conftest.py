"""Toy people, a network that trains in milliseconds, and a listener, as for training."""

from __future__ import annotations

from tests.train.conftest import heard, one_thread, plain, tiny  # noqa: F401
