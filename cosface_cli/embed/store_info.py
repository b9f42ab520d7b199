"""What is in a store, counted without reading its embeddings."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.artifacts.store.store_update import journal_of
from cosface_cli.embed import InfoConfig, InfoReport


def info(config: InfoConfig) -> InfoReport:
    """Describe a store. Raises CosfaceError for a file that is not a store, DamagedError for a damaged store."""
    path = config.store
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
