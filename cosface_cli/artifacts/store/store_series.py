"""Checks of several stores that are read as one: the same model, and no unfinished run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cosface_cli.artifacts.store.store_file import Store, StoreHeader
from cosface_cli.artifacts.store.store_update import journal_of
from cosface_cli.errors import CosfaceError


def common_header(stores: Sequence[Path], one_precision: bool = False) -> StoreHeader:
    """The header of the first store.

    Raises ModelMismatch naming the first store whose embeddings cannot be compared with these. Embeddings of one model
    in different precisions can, unless one_precision is set.
    """
    if not stores:
        raise CosfaceError("at least one store is needed", hint="give a file written by cosface embed")
    headers = []
    for path in stores:
        with Store(path) as store:
            headers.append(store.header)
    first = headers[0].identity if one_precision else replace(headers[0].identity, precision=None)
    for path, header in zip(stores, headers, strict=True):
        header.identity.require_same(first, path, f"give stores of the same model as {stores[0]}")
    return headers[0]


def require_finished(store: Path) -> None:
    """Raises CosfaceError if a store has a journal: a run has not finished, and its embeddings are not in the store."""
    if journal_of(store).exists():
        raise CosfaceError(
            "a cosface embed that writes this store has not ended",
            store,
            "wait for it, or run the same cosface embed again",
        )
