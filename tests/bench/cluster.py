"""Grouping by person: quality and CPU seconds beside scikit-learn's DBSCAN and HDBSCAN on the same vectors.

usage: python -m tests.bench.cluster STORE... [--choose]
       python -m tests.bench.cluster --rows 1000000 [--size 512]

STORE: embeddings with the true people as folders. Ours groups with the model's own threshold; DBSCAN is shown at each
of a range of distances and HDBSCAN at its own settings, so that the peers' best is seen: nothing here chooses anything.
A face that a peer leaves alone is a group of its own, as with us. --choose computes the thresholds of
cosface_cli.index.people.groups.merge_threshold: for people who are in no test set, scores at a range of them, over
three kinds of collections. --rows: time and memory of the command over as many made-up faces, ten a person, from their
index.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import Store, StoreHeader, write_store
from cosface_cli.index.people.groups.linkage import link_faces
from cosface_cli.index.people.groups.merge_threshold import MEASURED, estimate
from cosface_cli.index.people.index_faces import BLOCK
from cosface_cli.maths.clustering import agreement
from tests.bench.measure import COSFACE, timed

DBSCAN_COSINES = (0.02, 0.01, 0.0, -0.01, -0.02, -0.03, -0.04)  # below the threshold of ours
FEW = 50


class Gallery:
    """What grouping sees of an index, over an array."""

    def __init__(self, vectors: np.ndarray, header: Any) -> None:
        self._vectors = vectors
        self.header = SimpleNamespace(size=vectors.shape[1], model=header.model, model_id=header.model_id)

    def __len__(self) -> int:
        return len(self._vectors)

    def take(self, numbers: np.ndarray) -> np.ndarray:
        return self._vectors[numbers]

    def blocks(self) -> Any:
        for low in range(0, len(self), BLOCK):
            yield low, self._vectors[low : low + BLOCK]

    def nearest(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        cosines = vectors @ self._vectors.T
        k = min(k, len(self))
        numbers = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        return np.take_along_axis(cosines, numbers, 1), numbers


def read(path: Path) -> tuple[np.ndarray, np.ndarray, Any]:
    with Store(path) as store:
        people = np.unique([row.identity for row in store.rows()], return_inverse=True)[1]
        return store.vectors(0, len(store)), people, store.header


def ours(vectors: np.ndarray, header: Any, least: float) -> np.ndarray:
    each = np.arange(len(vectors))
    held = np.zeros(len(vectors), bool)
    return link_faces(Gallery(vectors, header), each, each, held, least, lambda done: None).group_of  # type: ignore[arg-type]


def singles(labels: np.ndarray) -> np.ndarray:
    labels = labels.astype(np.int64)
    alone = np.flatnonzero(labels < 0)
    labels[alone] = labels.max() + 1 + np.arange(len(alone))
    return np.unique(labels, return_inverse=True)[1]


def show(name: str, people: np.ndarray, groups: np.ndarray, seconds: float) -> None:
    found = agreement(people, groups)
    print(
        f"{name:34}{found.pair_f:.3f} ({found.pair_precision:.3f}, {found.pair_recall:.3f})  {found.bcubed_f:.3f} "
        f"({found.bcubed_precision:.3f}, {found.bcubed_recall:.3f})  {found.nmi:.3f}  {groups.max() + 1:6} groups  "
        f"{seconds:7.1f} s",
        flush=True,
    )


def beside(path: Path) -> None:
    from sklearn.cluster import DBSCAN, HDBSCAN

    vectors, people, header = read(path)
    least = MEASURED.get((header.model_id, header.flip)) or estimate(Gallery(vectors, header))  # type: ignore[arg-type]
    print(f"{path}: {len(vectors)} faces, {people.max() + 1} people; pairwise F, BCubed F (precision, recall), NMI")
    started = time.process_time()
    groups = ours(vectors, header, least)
    show(f"cosface, mean cosine {least:.3f}", people, groups, time.process_time() - started)
    for lower in DBSCAN_COSINES:
        cosine = least - lower
        started = time.process_time()
        labels = DBSCAN(eps=float(np.sqrt(2 - 2 * cosine)), min_samples=2, algorithm="brute").fit_predict(vectors)
        show(f"DBSCAN, cosine {cosine:.3f}", people, singles(labels), time.process_time() - started)
    for size in (2, 3, 5):
        started = time.process_time()
        labels = HDBSCAN(min_cluster_size=size, copy=True).fit_predict(vectors)
        show(f"HDBSCAN, min_cluster_size {size}", people, singles(labels), time.process_time() - started)


def collections(people: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Masks of faces: all; 50 people, six times; everybody with one photo or a few, 2.2 on average, six times."""
    draw = np.random.default_rng(0)
    count = people.max() + 1
    few = [np.isin(people, draw.permutation(count)[:FEW]) for _ in range(6)]
    tail = []
    for _ in range(6):
        mask = np.zeros(len(people), bool)
        for person in range(count):
            own = draw.permutation(np.flatnonzero(people == person))
            mask[own[: draw.geometric(1 / 2.2)]] = True
        tail.append(mask)
    return {"all": [np.ones(len(people), bool)], f"{FEW} people": few, "long tail": tail}


def choose(path: Path) -> None:
    vectors, people, header = read(path)
    some = (vectors[::7] @ vectors[::5].T).ravel()
    middle = float(np.median(some))
    deviation = 1.4826 * float(np.median(np.abs(some - middle)))
    print(f"{path}: {header.model_id}, flip {header.flip}; mean of pairwise F and BCubed F")
    kinds = collections(people)
    for away in np.arange(1.8, 3.05, 0.1):
        least = middle + away * deviation
        scores = {}
        for kind, masks in kinds.items():
            found = [
                agreement(np.unique(people[mask], return_inverse=True)[1], ours(vectors[mask], header, least))
                for mask in masks
            ]
            scores[kind] = float(np.mean([(one.pair_f + one.bcubed_f) / 2 for one in found]))
        words = "  ".join(f"{kind} {score:.3f}" for kind, score in scores.items())
        print(f"{away:.1f} deviations, {least:.4f}: {words}  mean {np.mean(list(scores.values())):.4f}", flush=True)


def made_up(rows: int, size: int) -> Any:
    """Faces, ten a person: at cosines about .64 within a person, 0 between people."""
    for first in range(0, rows, 10_000):
        draw = np.random.default_rng(first)
        count = min(10_000, rows - first)
        centres = np.repeat(draw.normal(size=(-(-count // 10), size)), 10, axis=0)[:count]
        vectors = centres + 0.75 * draw.normal(size=(count, size))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        for number, vector in enumerate(vectors, first):
            name = f"{number // 10:06}"
            digest = hashlib.sha256(str(number).encode()).hexdigest()
            box = (0.0, 0.0, 99.0, 99.0)
            yield (
                FaceRow(
                    source=f"{name}/{number}.jpg",
                    identity=name,
                    root="/made/up",
                    settings="s",
                    face=1,
                    box=box,
                    score=0.99,
                    sharpness=50.0,
                    hash=digest,
                ),
                vector,
            )


def at_scale(rows: int, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, index = Path(folder) / "faces.h5", Path(folder) / "index"
        write_store(
            store,
            StoreHeader(model="made up", model_id="made-up-01", template="dlib", flip="none", size=size),
            made_up(rows, size),
            [],
        )
        built = timed([*COSFACE, "index", "build", str(store), str(index), "--quiet"], cores=2)
        print(f"{rows} x {size}: index built in {built.wall:.0f} s ({built.cpu:.0f} s of CPU), {built.peak:.0f} MB")
        store.unlink()
        files = sum(path.stat().st_size for path in index.iterdir()) / 1e6
        command = [*COSFACE, "index", "cluster", str(index), "--min-cos", "0.4", "--quiet"]
        for words in (["--evaluate"], []):
            found = timed([*command, *words], cores=2)
            last = found.text.splitlines()[-1] if words else f"{len(found.text.splitlines())} rows"
            print(
                f"{' '.join(['cluster', *words])}: {found.wall:.0f} s ({found.cpu:.0f} s of CPU), {found.peak:.0f} MB "
                f"beside {files:.0f} MB of index: {last}",
                flush=True,
            )


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("stores", nargs="*", type=Path)
    words.add_argument("--rows", type=int, default=0)
    words.add_argument("--size", type=int, default=512)
    words.add_argument("--choose", action="store_true")
    given = words.parse_args()
    if given.rows:
        at_scale(given.rows, given.size)
    for path in given.stores:
        (choose if given.choose else beside)(path)


if __name__ == "__main__":
    main()
