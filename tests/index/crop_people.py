"""Made-up people with crops, a store and an index: what forgetting is tested on."""

from __future__ import annotations

import json
from pathlib import Path

from cosface_cli.index.forget import ForgetConfig, ForgetReport
from cosface_cli.index.forget.stage import forget
from tests.index.stores import vectors

PEOPLE, EACH = 12, 5


def crop_bytes(name: str) -> bytes:
    import hashlib

    head = b"\xff\xd8\xff\xe0 a head that all of them share " * 8
    return head + b"".join(hashlib.sha256(f"{name}{i}".encode()).digest() for i in range(40))


def digest(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def run(home: Path, **options) -> ForgetReport:
    options.setdefault("yes", True)
    return forget(ForgetConfig(index=home / "people.index", **options))


def state(home: Path) -> dict[str, bytes]:
    files = (p for p in home.rglob("*") if p.is_file() and p.name != "forgotten.jsonl")
    return {p.relative_to(home).as_posix(): p.read_bytes() for p in sorted(files)}


def traces(home: Path, person: str, numbers: range) -> list[str]:
    """Every file that holds a name, a crop or an embedding of a person: found by plain searching, not by our code."""
    found = vectors(PEOPLE * EACH)
    needles = [person.encode(), json.dumps(person).encode()]
    needles += [found[n].tobytes()[at : at + 8] for n in numbers for at in range(0, found.shape[1] * 4 - 8, 4)]
    for photo in range(EACH):
        content = crop_bytes(f"{person}/{photo}.jpg" if photo != 4 else f"{person}/3.2.jpg")
        needles += [content[at : at + 12] for at in range(300, len(content) - 12, 6)]
    out = []
    for path in sorted(home.rglob("*")):
        content = path.read_bytes() if path.is_file() and path.name != "forgotten.jsonl" else b""
        if any(needle in content for needle in needles) or person in str(path.relative_to(home)):
            out.append(str(path.relative_to(home)))
    return out
