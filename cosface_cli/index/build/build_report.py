"""The report of a build about the index that it wrote."""

from __future__ import annotations

from pathlib import Path

from cosface_cli.artifacts.index.index_folder import IndexHeader
from cosface_cli.artifacts.index.index_rows import IndexRows
from cosface_cli.index import BuildReport


def build_report(
    root: Path, header: IndexHeader, *, added: int, removed: int, doubles: int, forgotten: int
) -> BuildReport:
    """The report of an index that was just written to root."""
    recalls = [segment.settings["recall"] for segment in header.segments if "recall" in segment.settings]
    return BuildReport(
        index=str(root),
        rows=header.rows,
        added=added,
        removed=removed,
        doubles=doubles,
        forgotten=forgotten,
        identities=identity_count(root, header),
        engine=header.engine,
        search="+".join(dict.fromkeys(segment.search for segment in header.segments)),
        recall=min(recalls, default=None),
        model=header.model,
    )


def identity_count(root: Path, header: IndexHeader) -> int:
    """The number of identities among the rows of an index."""
    tables = (IndexRows(root / segment.names, segment.rows).table("identity") for segment in header.segments)
    return len({name for table in tables for name in table})
