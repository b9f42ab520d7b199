"""What a store holds, counted without reading its embeddings."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.artifacts.store.store_update import journal_of
from cosface_cli.embed import InfoReport


def info(path: Path) -> InfoReport:
    """Look into a store. Raises CosfaceError for what is none, DamagedError for a damaged one."""
    with Store(path) as store:
        identities, sources = store.counts()
        reasons = Counter(str(reject.get("reason")) for reject in store.rejects())
        return InfoReport(
            store=str(path),
            rows=len(store),
            **asdict(store.header),
            identities=identities,
            sources=sources,
            rejects=dict(sorted(reasons.items())),
            bytes=path.stat().st_size,
            unfinished=journal_of(path).exists(),
        )
