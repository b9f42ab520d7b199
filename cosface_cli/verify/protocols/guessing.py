"""Which protocol a command means, from the files that it names."""

from __future__ import annotations

from pathlib import Path

from cosface_cli.artifacts.pair_rows import column_of
from cosface_cli.errors import CosfaceError
from cosface_cli.verify import ProtocolConfig
from cosface_cli.verify.faces import is_store
from cosface_cli.verify.protocols import PROTOCOLS

LISTS = {".csv", ".tsv", ".ndjson", ".jsonl"}
FIRST = 4096  # bytes that tell lists apart


def guess(config: ProtocolConfig) -> tuple[str, str]:
    """A name of PROTOCOLS, and why. Raises CosfaceError where nothing tells it."""
    source = config.source
    if config.pairs is not None:
        return _list(config.pairs)
    for name, lists in {"lfw": "pairs.txt", "ytf": "splits.txt"}.items():
        if (source / lists).is_file():
            return name, f"{lists} lies in {source}"
    if source.is_file() and source.suffix.lower() in LISTS:
        return _list(source)
    if source.is_file() and is_store(source):
        return "all-pairs", f"{source} is a store of embeddings"
    mend = f"give two photos, or --protocol {'|'.join(PROTOCOLS.names)}"
    raise CosfaceError("nothing here says which protocol is meant", source, mend)


def _list(path: Path) -> tuple[str, str]:
    try:
        with path.open("rb") as file:
            first = file.read(FIRST).decode("utf-8", "replace").removeprefix("\ufeff").partition("\n")[0]
    except FileNotFoundError:
        raise CosfaceError("no such file", path, "give a list of pairs") from None
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from error
    words = first.split()
    if words and all(word.isdigit() for word in words):
        return "lfw", f"{path.name} begins as LFW's lists do"
    columns = [name.strip() for name in first.replace("\t", ",").replace(";", ",").split(",")]
    if any(name.lower() == "split number" for name in columns):
        return "ytf", f"{path.name} begins as YTF's splits.txt does"
    if first.lstrip().startswith("{") or any(column_of(name) for name in columns):
        return "csv", f"{path.name} has named columns"
    raise CosfaceError("not a list of pairs that is known here", path, f"give --protocol {'|'.join(PROTOCOLS.names)}")
