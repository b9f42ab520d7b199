"""Made-up people, a network that trains in milliseconds, and a recorder of outcomes, shared with tests of training."""

from __future__ import annotations

from tests.train.conftest import heard, one_thread, plain, tiny  # noqa: F401
