"""Which protocol a command means, from the files that it names."""

from __future__ import annotations

from pathlib import Path

from cosface_cli.artifacts.lists.ijb_meta import MEDIA
from cosface_cli.artifacts.lists.pair_table import list_kind
from cosface_cli.artifacts.packed.face_bin import is_pickle
from cosface_cli.errors import CosfaceError
from cosface_cli.verify import ProtocolConfig
from cosface_cli.verify.faces.by_name import is_store
from cosface_cli.verify.protocols import PROTOCOLS

LISTS = {".csv", ".tsv", ".ndjson", ".jsonl"}
BEGINS = {"lfw": "begins as LFW's lists do", "ytf": "begins as YTF's does", "csv": "has named columns"}


def guess(config: ProtocolConfig) -> tuple[str, str]:
    """A name of PROTOCOLS, and why. Raises CosfaceError where nothing tells it."""
    source = config.source
    for folder in (config.pairs, source / "meta", source):
        if folder is not None and folder.is_dir() and any(folder.glob(f"*{MEDIA}")):
            return "ijb", f"meta files of IJB lie in {folder}"
    if config.pairs is not None:
        return _list(config.pairs)
    if config.distractors is not None:
        return "megaface", "there are distractors"
    for name, lists in {"lfw": "pairs.txt", "ytf": "splits.txt"}.items():
        if (source / lists).is_file():
            return name, f"{lists} lies in {source}"
    if source.is_file() and source.suffix.lower() in LISTS:
        return _list(source)
    if source.is_file() and is_store(source):
        return "all-pairs", f"{source} is a store of embeddings"
    if source.is_file() and is_pickle(source):
        return "bin", f"{source} begins as InsightFace's sets do"
    if not source.exists():
        raise CosfaceError("no such file or folder", source)
    hint = f"give two photos, or --protocol {'|'.join(PROTOCOLS.names)}"
    raise CosfaceError("nothing here says which protocol is meant", source, hint)


def _list(path: Path) -> tuple[str, str]:
    kind = list_kind(path)
    if kind is None:
        hint = f"give --protocol {'|'.join(PROTOCOLS.names)}"
        raise CosfaceError("not a list of pairs that is known here", path, hint)
    return kind, f"{path.name} {BEGINS[kind]}"
