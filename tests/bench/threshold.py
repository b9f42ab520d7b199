"""The thresholds of an embedded model: all pairs of a folder of people, by flip mode.

usage: python -m tests.bench.threshold PHOTOS [--model dlib] [--far 1e-3]

PHOTOS: sub-folders by person, none of them in a test set.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.store import Store
from cosface_cli.embed import EmbedConfig
from cosface_cli.embed.stage import embed
from cosface_cli.engines.embedders import FLIPS
from cosface_cli.maths.roc import rate_at, threshold_at_far


def pair_scores(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of all genuine and all impostor pairs of a store; photos without an identity are left out."""
    rows = list(store.rows())
    vectors = store.vectors(0, len(store)).astype(np.float32)
    people = np.unique([row.identity for row in rows], return_inverse=True)[1]
    genuine, impostors = [], []
    for low in range(0, len(rows), 512):
        cosines = vectors[low : low + 512] @ vectors.T
        later = np.arange(len(rows))[None] > np.arange(low, min(low + 512, len(rows)))[:, None]
        same = people[low : low + 512, None] == people[None]
        genuine.append(cosines[later & same])
        impostors.append(cosines[later & ~same])
    return np.concatenate(genuine).astype(np.float64), np.concatenate(impostors).astype(np.float64)


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("photos")
    words.add_argument("--model", default="dlib")
    words.add_argument("--far", type=float, default=1e-3)
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for flip in FLIPS:
            path = Path(folder) / f"{flip}.h5"
            report = embed(EmbedConfig(given.photos, path, given.model, flip))
            with Store(path) as store:
                genuine, impostors = pair_scores(store)
            threshold = threshold_at_far(impostors, given.far)
            assert threshold is not None
            accepted, total = rate_at(genuine, threshold)
            print(
                f"{flip:7} rows {report.rows}  genuine {total}  impostors {impostors.size}  "
                f"threshold at FAR {given.far:g}: {threshold:.6f}  TAR {accepted / total:.4f}"
            )


if __name__ == "__main__":
    main()
