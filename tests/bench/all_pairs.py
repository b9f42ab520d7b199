"""Every pair of a store counted: time and memory, beside numpy with the whole matrix in memory.

usage: python -m tests.bench.all_pairs [--rows 1000000] [--size 128] [--cores 2] [--small 20000]

The store holds synthetic unit vectors, ten of each person around a centre of their own. The peer multiplies them with
themselves and counts the upper triangle by np.histogram into as many bins; its matrix takes 4 bytes a pair twice over,
so it runs on --small rows only, where ours runs too and the ratio is printed. CPU seconds, start-up included.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import Store, StoreHeader, write_store
from tests.bench.measure import COSFACE, Run, timed

EACH = 10  # faces of a person
SPREAD = 1.2  # of their noise, in lengths of the centre


def faces(rows: int, size: int) -> Iterator[tuple[FaceRow, np.ndarray]]:
    random = np.random.default_rng(0)
    for person in range(-(-rows // EACH)):
        centre = random.normal(size=size) / np.sqrt(size)
        for number in range(min(EACH, rows - person * EACH)):
            vector = centre + SPREAD * random.normal(size=size) / np.sqrt(size)
            name = f"p{person:06}/{number}.jpg"
            row = FaceRow(
                source=name,
                identity=name.partition("/")[0],
                root="/nowhere",
                settings="",
                face=1,
                box=(0.0, 0.0, 1.0, 1.0),
                score=1.0,
                sharpness=0.0,
                hash=f"{person:064x}",
            )
            yield row, (vector / np.linalg.norm(vector)).astype(np.float32)


def written(rows: int, size: int, folder: Path) -> Path:
    path = folder / f"{rows}.h5"
    write_store(
        path,
        StoreHeader(model="synthetic", model_id="synthetic", template="arcface", flip="none", size=size),
        faces(rows, size),
        [],
    )
    return path


def peer(path: Path) -> None:
    """The plain way, in a process of its own: prints genuine and impostor pairs."""
    with Store(path) as store:
        vectors = store.vectors(0, len(store))
    people = np.arange(len(vectors)) // EACH
    scores = vectors @ vectors.T
    upper = np.triu_indices(len(vectors), 1)
    values, same = scores[upper], people[upper[0]] == people[upper[1]]
    counts = [int(np.histogram(values[kind], 1 << 21, (-1.001, 1.001))[0].sum()) for kind in (same, ~same)]
    print(json.dumps({"genuine": counts[0], "impostors": counts[1]}))


def told(name: str, rows: int, run: Run) -> dict[str, object]:
    found = json.loads(run.text)
    pairs = rows * (rows - 1) // 2
    if found["genuine"] + found["impostors"] != pairs:
        raise SystemExit(f"{name} counted {found['genuine'] + found['impostors']} pairs of {pairs}")
    print(
        f"{name:10}{rows:9} rows  {pairs:15,} pairs  {run.cpu:8.1f} s CPU  {run.wall:8.1f} s  {run.peak:6.0f} MB"
        f"  {pairs / run.cpu / 1e6:7.0f} million pairs a CPU second"
    )
    return found


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--rows", type=int, default=1_000_000)
    words.add_argument("--small", type=int, default=20_000)
    words.add_argument("--size", type=int, default=128)
    words.add_argument("--cores", type=int, default=2)
    words.add_argument("--peer", type=Path)
    given = words.parse_args()
    if given.peer:
        peer(given.peer)
        return
    with tempfile.TemporaryDirectory() as folder:
        verify = [*COSFACE, "verify", "--protocol", "all-pairs", "--format", "json", "--quiet"]
        small = written(given.small, given.size, Path(folder))
        ours = timed([*verify, str(small)], given.cores)
        theirs = timed([sys.executable, "-m", "tests.bench.all_pairs", "--peer", str(small)], given.cores)
        one, other = told("cosface", given.small, ours), told("numpy", given.small, theirs)
        if (one["genuine"], one["impostors"]) != (other["genuine"], other["impostors"]):
            raise SystemExit("they counted differently")
        print(
            f"ours / theirs: {ours.cpu / theirs.cpu:.2f} of the CPU time, {ours.peak / theirs.peak:.2f} of the memory"
        )
        large = written(given.rows, given.size, Path(folder))
        found = told("cosface", given.rows, timed([*verify, str(large)], given.cores))
        for rate in found["tar_at_far"]:  # type: ignore[attr-defined]
            print(f"  TAR at FAR {rate['far']:g}: {rate['tar']:.5f}, {rate['low']:.5f} to {rate['high']:.5f}")


if __name__ == "__main__":
    main()
