"""One store to several: by identity, or into parts of consecutive rows. The merged parts are the same store again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import Store, write_store
from cosface_cli.artifacts.store.store_series import require_finished
from cosface_cli.embed import SplitConfig, SplitReport
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Done, OnOutcome, Planned, ignore

IDENTITY = "identity"
UNNAMED = "unnamed"  # the part of rows without identity


@dataclass(slots=True)
class _Part:
    name: str
    """Name of its file."""
    identity: str | None = None
    ranges: list[list[int]] = field(default_factory=list)
    """Start and stop of its rows in the store."""
    rejects: list[dict[str, object]] = field(default_factory=list)


def split(config: SplitConfig, emit: OnOutcome = ignore) -> tuple[SplitReport, ...]:
    """Write the parts of a store into a folder, all of them or none. The rows of a source stay together.

    Raises CosfaceError if config.by is neither "identity" nor a number, the folder is not empty, or an interrupted run
    was filling the store.
    """
    if config.by != IDENTITY and not (config.by.isascii() and config.by.isdigit() and int(config.by) > 0):
        raise CosfaceError(f"--by must be identity or a number of parts, got {config.by!r}")
    require_finished(config.store)
    if config.folder.exists() and (not config.folder.is_dir() or any(config.folder.iterdir())):
        raise CosfaceError("this exists and is not an empty folder", config.folder, "choose another folder")
    folder = config.folder.absolute()
    with Store(config.store) as store:
        atomic.make_folder(folder.parent)
        with atomic.lock(folder), atomic.write_errors(folder):
            emit(Planned(len(store)))
            parts = _by_identity(store) if config.by == IDENTITY else _by_number(store, int(config.by))
            temporary = atomic.partial(folder)
            shutil.rmtree(temporary, ignore_errors=True)  # left by an interrupted run
            try:
                temporary.mkdir()
                rows = [
                    write_store(temporary / part.name, store.header, _pairs(store, part, emit), part.rejects)
                    for part in parts
                ]
                temporary.replace(folder)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
    return tuple(
        SplitReport(store=str(config.folder / part.name), identity=part.identity, rows=count, rejects=len(part.rejects))
        for part, count in zip(parts, rows, strict=True)
    )


def _pairs(store: Store, part: _Part, emit: OnOutcome) -> Iterator[tuple[FaceRow, NDArray[np.float32]]]:
    for start, stop in part.ranges:
        for row, vector in store.pairs(start, stop):
            yield row, vector
            emit(Done(row.source))


def _by_identity(store: Store) -> list[_Part]:
    parts: dict[str | None, _Part] = {}

    def part(identity: str | None) -> _Part:
        return parts.setdefault(identity, _Part(_file_name(identity), identity))

    for number, row in enumerate(store.rows()):
        ranges = part(row.identity).ranges
        if ranges and ranges[-1][1] == number:
            ranges[-1][1] += 1
        else:
            ranges.append([number, number + 1])
    for reject in store.rejects():
        head, slash, _ = str(reject.get("source")).partition("/")
        part(head if slash else None).rejects.append(reject)
    return sorted(parts.values(), key=lambda part: part.name)


def _by_number(store: Store, count: int) -> list[_Part]:
    """Parts with the same number of sources, or one more or less; at most one part for each source."""
    sources = groupby(enumerate(store.rows()), key=lambda pair: (pair[1].root, pair[1].source))
    starts = [next(rows)[0] for _, rows in sources]
    rejects = store.rejects()
    count = max(1, min(count, len(starts)))
    ends = [*starts, len(store)] if starts else [0]
    width = max(2, len(str(count)))
    return [
        _Part(
            f"part-{number + 1:0{width}}.h5",
            ranges=[[ends[low], ends[high]]],
            rejects=list(_share(rejects, number, count)),
        )
        for number in range(count)
        for low, high in [(number * len(starts) // count, (number + 1) * len(starts) // count)]
    ]


def _share(items: Sequence[dict[str, object]], number: int, count: int) -> Sequence[dict[str, object]]:
    return items[number * len(items) // count : (number + 1) * len(items) // count]


def _file_name(identity: str | None) -> str:
    """A different file name for each identity, without a path in it."""
    if identity is None:
        return f"{UNNAMED}.h5"
    safe = identity.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
    if safe.startswith(".") or safe == UNNAMED:
        safe = f"%{ord(safe[0]):02X}{safe[1:]}"
    return f"{safe or '%'}.h5"
