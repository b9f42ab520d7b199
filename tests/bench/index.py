"""cosface index beside bare FAISS on the same files and NumPy's brute force: python -m tests.bench.index [ROWS...]

On one core, in one run. The gallery has four photos of each person (cosine .6 to another photo of the same), or with
--random no structure at all; a probe is another photo of somebody enrolled, or a row with noise at cosine .6. `ours` is
all that a search does but read and print: FAISS, cosines from the vectors, names of the hits. ROWS: 100000 and 1000000.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tests.bench.measure import COSFACE, timed

SIZE, K, PROBES, ROUNDS = 512, 5, 1024, 5
BATCHES = (1, 32, 256)
Search = Callable[[np.ndarray], np.ndarray]
SAME = 0.6  # cosine of two photos of a person


def blocks(rows: int, structure: bool, block: int = 20_000) -> Iterator[np.ndarray]:
    """Unit vectors (n, SIZE); photo 4 of each person is left out, it is the probe."""
    rng = np.random.default_rng(0)
    for low in range(0, rows, block):
        count = min(block, rows - low)
        if structure:
            people = np.repeat(unit(rng.normal(size=(count // 4 + 1, SIZE))), 4, 0)[:count]
            yield mixed(people, rng, SAME**0.5)
        else:
            yield unit(rng.normal(size=(count, SIZE))).astype(np.float32)


def unit(found: np.ndarray) -> np.ndarray:
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def mixed(centre: np.ndarray, rng: np.random.Generator, cos: float) -> np.ndarray:
    """Unit vectors at that cosine to each centre."""
    noise = rng.normal(size=centre.shape)
    noise -= (noise * centre).sum(1, keepdims=True) * centre
    return (cos * centre + (1 - cos**2) ** 0.5 * unit(noise)).astype(np.float32)


def write_store(path: Path, rows: int, structure: bool) -> np.ndarray:
    """A store, and probes for it."""
    from cosface_cli.artifacts.store.face_rows import FaceRow
    from cosface_cli.artifacts.store.store_file import StoreHeader, write_store

    rng = np.random.default_rng(1)
    every = max(1, rows // PROBES)
    probes: list[np.ndarray] = []

    def pairs() -> Iterator[tuple[FaceRow, np.ndarray]]:
        number = 0
        for vectors in blocks(rows, structure):
            chosen = np.arange(-number % every, len(vectors), every)
            if structure:  # the person is where its photos' mean is, nearly
                people = unit(vectors[: len(vectors) // 4 * 4].reshape(-1, 4, SIZE).sum(1))
                probes.append(mixed(people[np.minimum(chosen // 4, len(people) - 1)], rng, SAME**0.5))
            else:
                probes.append(mixed(vectors[chosen].astype(np.float64), rng, SAME))
            for vector in vectors:
                person = f"{number // 4:07d}"
                name = f"{person}/{number % 4}.jpg"
                box = (0.0, 0.0, 99.0, 99.0)
                yield (
                    FaceRow(
                        source=name,
                        identity=person,
                        root="/photos",
                        settings="s",
                        face=1,
                        box=box,
                        score=0.9,
                        sharpness=99.0,
                        hash=f"{number:064x}",
                        size=9,
                        mtime_ns=9,
                    ),
                    vector,
                )
                number += 1

    write_store(
        path, StoreHeader(model="bench", model_id="bench-01", template="wide", flip="none", size=SIZE), pairs(), []
    )
    return np.concatenate(probes)[:PROBES]


def rates(ways: Sequence[Search], probes: np.ndarray, batch: int, seconds: float = 8.0) -> list[float]:
    """Probes a CPU second of each way, the best of rounds that take turns."""
    best = [0.0 for _ in ways]
    for way in ways:
        way(probes[:batch])
    for _ in range(ROUNDS):
        for number, way in enumerate(ways):
            started, done = time.process_time(), 0
            for low in range(0, len(probes) - batch + 1, batch):
                way(probes[low : low + batch])
                done += batch
                if time.process_time() - started > seconds / ROUNDS / len(ways):
                    break
            best[number] = max(best[number], done / (time.process_time() - started))
    return best


def opened(open_it: Callable[[], object]) -> float:
    """Seconds, median of five."""
    found = []
    for _ in range(5):
        started = time.perf_counter()
        open_it()
        found.append(time.perf_counter() - started)
    return sorted(found)[2]


def compare(root: Path, rows: int, structure: bool, recall: float) -> list[dict[str, object]]:
    """One gallery: a line for each way to search it."""
    import faiss

    from cosface_cli.artifacts.index.index_folder import read_header
    from cosface_cli.index import SearchConfig
    from cosface_cli.index.search.gallery import Gallery
    from cosface_cli.index.search.hits import HitFinder, hit_rows

    default = faiss.cvar.distance_compute_blas_threshold
    probes = write_store(root / "s.h5", rows, structure)
    out: list[dict[str, object]] = []
    loaded = np.concatenate(list(blocks(rows, structure)))
    want = np.concatenate([(probes[low : low + 64] @ loaded.T).argmax(1) for low in range(0, len(probes), 64)])

    def add(name: str, *speeds: float | np.ndarray, **more: object) -> None:
        line: dict[str, object] = {"rows": rows, "data": "people" if structure else "random", "way": name}
        line |= {f"q/s batch {batch}": round(float(speed), 1) for batch, speed in zip(BATCHES, speeds, strict=False)}
        line |= {"recall@1": round(float((speeds[-1] == want).mean()), 3), **more}
        out.append(line)
        print(json.dumps(line), flush=True)

    def brute(part: np.ndarray) -> np.ndarray:
        cosines = part @ loaded.T
        best = np.argpartition(-cosines, K - 1, axis=1)[:, :K]
        order = np.argsort(-np.take_along_axis(cosines, best, 1), axis=1)
        return np.take_along_axis(best, order, 1)

    for search in ("flat", "sq8"):
        words = ["index", "build", str(root / "s.h5"), str(root / search), "--search", search]
        run = timed([*COSFACE, *words, *(["--recall", str(recall)] if search == "sq8" else []), "--quiet"])
        header = read_header(root / search)
        (segment,) = header.segments
        size = sum(held.bytes for held in header.files.values()) / 1e6
        gallery = Gallery(root / search)
        finder = HitFinder(gallery, SearchConfig(index=root / search, probes=(), k=K))

        def ours(part: np.ndarray, finder: HitFinder = finder, gallery: Gallery = gallery) -> np.ndarray:
            hits = finder.hits(part)
            assert all(hit_rows(gallery, [("probe", 1, 0.9)] * len(part), hits))
            return np.array([own[0][1] for own in hits])

        path = root / search / (segment.lists or segment.vectors)

        def bare_open(path: Path = path, nprobe: int = segment.settings.get("nprobe", 0)) -> object:
            if not nprobe:
                index = faiss.IndexFlatIP(SIZE)
                index.add(np.load(path))
                return index
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
            index.nprobe = nprobe
            return index

        index = bare_open()

        def bare(part: np.ndarray, index: object = index) -> np.ndarray:
            faiss.cvar.distance_compute_blas_threshold = default
            return index.search(part, K)[1]  # type: ignore[attr-defined]

        ways = [bare, ours, brute] if search == "flat" else [bare, ours]
        theirs, own, *numpys = zip(*(rates(ways, probes, batch) for batch in BATCHES), strict=True)
        for speeds in numpys:
            add("NumPy", *speeds, want)
        add(f"bare FAISS {search}", *theirs, bare(probes)[:, 0])
        add(
            f"ours {search}",
            *own,
            ours(probes),
            **{
                "ours / bare": [round(a / b, 3) for a, b in zip(own, theirs, strict=True)],
                "build CPU s": round(run.cpu, 1),
                "build peak MB": round(run.peak),
                "index MB": round(size),
                "open s": round(opened(lambda: Gallery(root / search)), 4),  # noqa: B023
                "bare open s": round(opened(bare_open), 4),
                **segment.settings,
            },
        )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--random", action="store_true", help="vectors without structure")
    parser.add_argument("--recall", type=float, default=0.95)
    given = parser.parse_args()
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:1]))
    for rows in given.rows:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder), rows, not given.random, given.recall)


if __name__ == "__main__":
    sys.exit(main())
