"""index.forget: remove a person from an index, its stores and crop folders, and prove that no trace is left.

from cosface_cli.index.forget import ForgetConfig
from cosface_cli.index.forget.stage import forget

report = forget(ForgetConfig(index=Path("people.index"), identity="Ann", yes=True))
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cosface_cli.index import IndexArgument
from cosface_cli.options import Checked, option


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetConfig(Checked):
    """The person or photo to forget, and the stores and crop folders to remove it from."""

    index: IndexArgument
    identity: Annotated[
        str | None,
        option("A person: the first folder level of the photos, or a name given by index label or index people."),
    ] = None
    source: Annotated[str | None, option("A photo or crop: its source in the rows of the index, or its path.")] = None
    stores: Annotated[
        tuple[Path, ...],
        option("Another store, of any model, that may hold the person. Repeatable.", "--store"),
    ] = ()
    crops: Annotated[tuple[Path, ...], option("Another crop folder that may hold the person. Repeatable.")] = ()
    yes: Annotated[bool, option("Remove. Without --yes, only print what would be removed.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetReport:
    """What was removed, or would be without --yes."""

    index: str
    done: bool
    """Whether all was removed, and no trace was found afterwards."""
    index_rows: int
    store_rows: int
    crops: int
    people: int
    """Faces removed from people.jsonl."""
    files: int = 0
    """Files searched for traces."""
    bytes: int = 0
    """Bytes searched for traces."""
    remains: tuple[str, ...] = ()
    """Files in which a trace was found."""
    receipt: str | None = None
    """The file with the receipt, hashes only."""
