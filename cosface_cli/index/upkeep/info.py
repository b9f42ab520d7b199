"""What an index holds, without reading its vectors."""

from __future__ import annotations

from pathlib import Path

from cosface_cli.artifacts.index.forgotten import forgotten_faces
from cosface_cli.artifacts.index.index_folder import read_header
from cosface_cli.index.build import identity_count
from cosface_cli.index.forget import plan
from cosface_cli.index.upkeep import InfoReport


def info(root: Path) -> InfoReport:
    """Look into an index. Raises CosfaceError for what is none, DamagedError for a damaged one."""
    header = read_header(root)
    return InfoReport(
        index=str(root),
        rows=header.rows,
        identities=identity_count(root, header),
        model=header.model,
        model_id=header.model_id,
        template=header.template,
        flip=header.flip,
        size=header.size,
        metric=header.metric,
        engine=header.engine,
        uri=header.uri,
        segments=tuple({"rows": s.rows, "search": s.search, **s.settings} for s in header.segments),
        stores=header.stores,
        missing=tuple(name for name in header.stores if not Path(name).is_file()),
        bytes=sum(held.bytes for held in header.files.values()),
        forgotten=len(forgotten_faces(root)),
        unfinished=(root / plan.FILE).exists(),
        mapped=header.mapped,
    )
