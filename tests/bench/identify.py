"""Identification with abstention: half of the people of a store are enrolled, the others are strangers.

usage: python -m tests.bench.identify STORE... [--strangers STORE]

STORE: embeddings with the true people as folders. Of those with two photos or more every other person, by name, is
enrolled with the first half of their photos; all other photos are searched for. The threshold of a wished FPIR is set
twice: on the people enrolled, each left out in turn, who are other people than the strangers that it is then measured
on; and, with --strangers, on another data set's people. No setting is chosen on what is reported.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import Store, write_store
from cosface_cli.index import BuildConfig
from cosface_cli.index.people import Evaluation, IdentifyConfig
from cosface_cli.index.people.stage import identify
from cosface_cli.index.stage import build

Face = tuple[FaceRow, np.ndarray]


def halves(path: Path, folder: Path) -> tuple[Path, Path]:
    """Stores of the photos enrolled, and of those searched for."""
    with Store(path) as store:
        header = store.header
        people: dict[str, list[Face]] = defaultdict(list)
        for row, vector in store.pairs():
            people[str(row.identity)].append((row, vector))
    several = sorted(name for name, faces in people.items() if len(faces) > 1)[::2]
    enrolled: list[Face] = []
    searched: list[Face] = []
    for name, faces in sorted(people.items()):
        first = (len(faces) + 1) // 2 if name in several else 0
        enrolled += faces[:first]
        searched += faces[first:]
    write_store(folder / "enrolled.h5", header, enrolled, [])
    write_store(folder / "searched.h5", header, searched, [])
    return folder / "enrolled.h5", folder / "searched.h5"


def report(name: str, config: IdentifyConfig) -> None:
    started = time.process_time()
    found = identify(config)
    assert isinstance(found, Evaluation) and found.fpir is not None and found.fnir is not None
    points = "  ".join(
        f"{point['fpir']:g}: {'-' if point['dir'] is None else format(point['dir'], '.3f')}" for point in found.dir
    )
    print(
        f"{name:34}{found.people} people, {found.mated} mated, {found.unmated} by strangers; wished FPIR "
        f"{found.fpir_wished:g}, set on {found.set_on} searches: threshold {found.threshold:.3f}, FPIR "
        f"{found.fpir['rate']:.4f} ({found.fpir['low']:.4f}-{found.fpir['high']:.4f}), FNIR {found.fnir['rate']:.4f} "
        f"({found.fnir['low']:.4f}-{found.fnir['high']:.4f}); rank 1 {found.cmc[0]:.4f}, rank 5 {found.cmc[4]:.4f}; "
        f"DIR at FPIR {points}; {time.process_time() - started:.1f} s",
        flush=True,
    )


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("stores", nargs="+", type=Path)
    words.add_argument("--strangers", type=Path)
    given = words.parse_args()
    for path in given.stores:
        with tempfile.TemporaryDirectory() as folder:
            enrolled, searched = halves(path, Path(folder))
            index = Path(folder) / "index"
            build(BuildConfig(stores=(enrolled,), index=index))
            print(path)
            for fpir in (0.1, 0.01):
                for pool in ("mean", "quality", "max"):
                    config = IdentifyConfig(index=index, probes=(str(searched),), fpir=fpir, pool=pool, evaluate=True)
                    report(f"{pool}, set on those enrolled", config)
                    if given.strangers is not None:
                        strangers = IdentifyConfig(
                            index=index,
                            probes=(str(searched),),
                            fpir=fpir,
                            strangers=(given.strangers,),
                            pool=pool,
                            evaluate=True,
                        )
                        report(f"{pool}, set on {given.strangers.stem}", strangers)


if __name__ == "__main__":
    main()
