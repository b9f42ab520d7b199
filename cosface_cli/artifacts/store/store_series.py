"""Several stores as one: they must be of one kind, and whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosface_cli.artifacts.store.store_file import Store, StoreHeader
from cosface_cli.artifacts.store.store_update import journal_of
from cosface_cli.errors import CosfaceError, ModelMismatch


def common_header(stores: Sequence[Path], one_precision: bool = False) -> StoreHeader:
    """The header that the stores share. Raises ModelMismatch naming the first that is of another model, template or
    flip, or where one is asked for, precision: their vectors can be compared."""
    first: StoreHeader | None = None
    for path in stores:
        with Store(path) as store:
            have = store.header
        if first is None:
            first = have
        if have.model_id != first.model_id:
            raise ModelMismatch(
                f"embeddings of {have.model} ({have.model_id}); {stores[0]} has {first.model} ({first.model_id})",
                path,
                "take stores of one model",
            )
        if have.template != first.template:
            raise ModelMismatch(
                f"embeddings of {have.template} crops, {stores[0]} of {first.template} ones", path, "embed them alike"
            )
        if have.flip != first.flip or have.size != first.size:
            raise ModelMismatch(
                f"written with --flip {have.flip}, {stores[0]} with --flip {first.flip}", path, "embed them alike"
            )
        if one_precision and have.precision != first.precision:
            problem = f"computed in {have.precision}, {stores[0]} in {first.precision}"
            raise ModelMismatch(problem, path, "embed them alike, or build an index of both")
    if first is None:
        raise CosfaceError("a store is needed")
    return first


def require_finished(store: Path) -> None:
    """Raises CosfaceError where a stopped run left a journal beside a store: its embeddings are not in it yet."""
    if journal_of(store).exists():
        raise CosfaceError(
            "a run that fills this store has not ended", store, "let it end, or run the same cosface embed again"
        )
