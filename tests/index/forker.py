"""Runs one operation of an index for each line of its input, each in a child of its own that can be killed.

Everything is imported before, so that a kill falls into the work. Run as python -m tests.index.forker.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from cosface_cli.index import BuildConfig
from cosface_cli.index.forget import ForgetConfig
from cosface_cli.index.forget.stage import forget
from cosface_cli.index.people.names.edits import label
from cosface_cli.index.stage import build


def act(op: str, root: Path, words: dict[str, object]) -> None:
    """One operation."""
    match op:
        case "build":
            stores = tuple(Path(str(path)) for path in words.pop("stores"))  # type: ignore[attr-defined]
            build(BuildConfig(stores=stores, index=root, **words))  # type: ignore[arg-type]
        case "forget":
            forget(ForgetConfig(index=root, yes=True, **words))  # type: ignore[arg-type]
        case "label":
            label(root, str(words["who"]), str(words["name"]))


def main() -> None:
    while line := sys.stdin.readline():
        op, root, words = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                act(op, Path(root), words)
                code = 0
            finally:
                os._exit(code)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        sys.stdin.readline()  # until then its number is not given to another
        status = os.waitpid(child, 0)[1]
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
