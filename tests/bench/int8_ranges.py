"""The activation ranges of dlib-int8: the extreme values in the float32 network over photos of many people.

usage: python -m tests.bench.int8_ranges PHOTOS [--each 5]    PHOTOS: sub-folders by person, none of them in a test set

Prints the table RANGES of cosface_cli/engines/embedders/dlib_embedder_int8.py, from the first photos of each person.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from cosface_cli.align import AlignConfig
from cosface_cli.align.stage import align
from cosface_cli.artifacts import pictures
from cosface_cli.artifacts.crops.manifest import open_crops
from cosface_cli.engines.embedders.dlib_embedder import packaged_network, serialised, to_onnx
from cosface_cli.engines.embedders.dlib_embedder_int8 import FIRST, measured
from cosface_cli.engines.runtime.onnx_session import open_session

BLOCKS = 14


def extremes(crops: list[np.ndarray]) -> np.ndarray:
    """(blocks, 4): the rows of RANGES, over crops (150, 150, 3)."""
    names = [name for block in range(FIRST, BLOCKS) for name in measured(block)]
    model = to_onnx(packaged_network())
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    low, high = np.zeros(len(names)), np.zeros(len(names))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        path.write_bytes(serialised(model))
        session = open_session(path)
        for start in range(0, len(crops), 16):
            tensors = session.run(names, {"crops": np.stack(crops[start : start + 16])})
            low = np.minimum(low, [tensor.min() for tensor in tensors])
            high = np.maximum(high, [tensor.max() for tensor in tensors])
    before, between, behind = high.reshape(-1, 3).T
    return np.stack([before, between, low[2::3], behind], axis=1)


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("photos", type=Path)
    words.add_argument("--each", type=int, default=5)
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        crops = Path(folder) / "crops"
        align(AlignConfig(raw=str(given.photos), aligned=crops, template="dlib", crops="png"))
        people: Counter[str | None] = Counter()
        chosen = []
        for crop in open_crops(crops):
            people[crop.identity] += 1
            if people[crop.identity] <= given.each:
                chosen.append(pictures.decode_file(crop.path))
    print(f"# {len(chosen)} crops of {len(people)} people")
    for row in extremes(chosen):
        print(f"    ({', '.join(f'{value:.3g}' for value in row)}),")


if __name__ == "__main__":
    main()
