"""The rows and crops that are forgotten, selected by identity, face or source."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops.manifest import CropRecord
from cosface_cli.artifacts.store.face_rows import Columns, encode
from cosface_cli.errors import CosfaceError


class Selection:
    """Rows and crops by identity, by face, or by source."""

    def __init__(
        self,
        *,
        identities: Iterable[str],
        faces: Iterable[str],
        sources: Iterable[tuple[str, str]],
        source: str | None = None,
    ) -> None:
        """faces: "SHA-256 of the file:number of the face in it". sources: (root, source) of rows. source: as a user
        writes it, relative to its root or as a path."""
        self._identities = {encode(name) for name in identities}
        self._faces = {_parsed_face(face) for face in faces}
        self._sources = {(encode(root), encode(name)) for root, name in sources}
        self._source = None if source is None else encode(source)
        self._path = None if source is None else encode(str(Path(source).absolute()))

    def mask(self, columns: Columns) -> NDArray[np.bool_]:
        """Which of the rows (n,) are selected."""
        selected_identity = np.array([name in self._identities for name in columns.tables["identity"]] + [False])
        mask = selected_identity[columns.codes["identity"]]  # code -1: no identity
        roots = [columns.tables["root"][code] if code >= 0 else b"" for code in columns.codes["root"]]
        hashes = np.ascontiguousarray(columns.numbers["hash"])
        for i, (root, source) in enumerate(zip(roots, columns.texts["source"], strict=True)):
            face = (hashes[i].tobytes(), int(columns.numbers["face"][i]))
            mask[i] |= face in self._faces or (root, source) in self._sources or self._is_source(root, source)
        return mask

    def has_crop(self, folder: Path, record: CropRecord) -> bool:
        """Whether a crop of a crop folder is selected, itself or by its photo."""
        root = encode(str(folder.absolute()))
        if any(self._is_source(root, encode(name)) for name in (record.crop, record.source)):
            return True
        face = (bytes.fromhex(record.hash), record.face)
        identity = encode(record.crop.partition("/")[0])
        return (root, encode(record.crop)) in self._sources or face in self._faces or identity in self._identities

    def _is_source(self, root: bytes, source: bytes) -> bool:
        return self._source is not None and (source == self._source or root + b"/" + source == self._path)


def _parsed_face(face: str) -> tuple[bytes, int]:
    digest, _, number = face.partition(":")
    try:
        return bytes.fromhex(digest), int(number)
    except ValueError:
        raise CosfaceError(f"{face!r} is not a face: expected HASH:NUMBER") from None
