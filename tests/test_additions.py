"""A made-up entry of each table: one file and one row in a copy of the package, used by the command line."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

import cosface_cli
from cosface_cli.artifacts.run.weights import read_header

Cosface = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """An entry of a table."""

    table: str
    """File of the table, and its name: "losses/__init__.py:LOSSES"."""
    row: str
    """Source of the row."""
    file: str
    """The new file, relative to the package."""
    content: str
    first: bool = False
    """Whether the row goes before the others, for tables whose order matters."""


LOSS = Addition(
    table="losses/__init__.py:LOSSES",
    row='Row("made-up-loss", "cosface_cli.losses.made_up:MadeUp", "softmax divided by a temperature")',
    file="losses/made_up.py",
    content='''
from torch import Tensor

from cosface_cli.losses.classifier import InnerProductHead


class MadeUp(InnerProductHead):
    """Softmax of logits divided by a temperature."""

    DEFAULTS = {"temperature": 2.0}
    EQUATION = "-log( e^{z_y / t} / sum_j e^{z_j / t} )"
    SOURCE = "made up for a test"

    def __init__(self, embedding_size: int, identities: int, temperature: float = 2.0) -> None:
        super().__init__(embedding_size, identities)
        self.temperature = temperature

    def margined(self, similarities: Tensor, target: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        return similarities / self.temperature
''',
)

BACKBONE = Addition(
    table="backbones/__init__.py:BACKBONES",
    row='Row("made-up-net", "cosface_cli.backbones.made_up:MADE_UP", "one linear layer on 4 x 4 means")',
    file="backbones/made_up.py",
    content="""
from torch import nn

from cosface_cli.backbones import Backbone


def build(embedding_size: int) -> nn.Module:
    return nn.Sequential(nn.AvgPool2d(28), nn.Flatten(), nn.Linear(48, embedding_size))


MADE_UP = Backbone(build, template="arcface", embedding_size=8)
""",
)

SOURCE = Addition(
    table="engines/sources/__init__.py:SOURCES",
    row='Row("made-up-source", "cosface_cli.engines.sources.made_up:list_colours", "colours named in a file")',
    file="engines/sources/made_up.py",
    first=True,  # before "file", which takes every file
    content='''
from dataclasses import dataclass

import cv2
import numpy as np

from cosface_cli.engines.sources import File, Item, Listing


@dataclass(frozen=True)
class Colour:
    """A photo of a head of one colour on grey."""

    file: File
    grey: int
    number: int

    def read(self) -> bytes:
        photo = np.random.default_rng([self.grey, self.number]).integers(90, 110, (240, 240, 3), np.uint8)
        cv2.circle(photo, (120, 120), 70, (self.grey, 255 - self.grey, 128), -1)
        return cv2.imencode(".png", photo)[1].tobytes()

    def status(self) -> tuple[int, int]:
        return self.file.status()

    def __str__(self) -> str:
        return f"{self.file}/{self.grey}/{self.number}"


def list_colours(request) -> Listing | None:
    if request.path.suffix != ".colours":
        return None
    items = []
    for grey in map(int, request.path.read_text().split()):
        for number in range(4):
            place = Colour(File(request.path), grey, number)
            items.append(Item(f"p{grey}/{number}.png", place, str(place)))
    return Listing(root=request.path, items=tuple(items), whole=True)
''',
)

DETECTOR = Addition(
    table="engines/detectors/__init__.py:DETECTORS",
    row='Row("made-up-detector", "cosface_cli.engines.detectors.made_up:MADE_UP", "the middle, by path")',
    file="engines/detectors/made_up.py",
    content="""
import numpy as np

from cosface_cli.engines.detectors import Detections, DetectorKind

POINTS = np.float32([[0.4, 0.45], [0.6, 0.45], [0.5, 0.55], [0.42, 0.65], [0.58, 0.65]])


class Middle:
    name = "made-up-detector-1"
    long_side = 640

    def detect(self, images, faces="all"):
        return [self._middle(np.float32([image.shape[1], image.shape[0]])) for image in images]

    def _middle(self, size):
        box = np.concatenate([size * 0.2, size * 0.8])[None]
        return Detections(box, (POINTS * size)[None], np.float32([0.9]))


MADE_UP = DetectorKind(
    recognises=lambda session: [output.name for output in session.get_outputs()] == ["middle"],
    open_file=lambda path: Middle(),
)
""",
)

RUNNER = Addition(
    table="engines/runners/__init__.py:RUNNERS",
    row='Row("made-up-runner", "cosface_cli.engines.runners.made_up:RUNNER", "one task after the other")',
    file="engines/runners/made_up.py",
    content="""
import os
from pathlib import Path


class Serial:
    on_this_machine = True

    def __call__(self, tasks, opener, workers, most):
        work = (opener[0] if isinstance(opener, tuple) else opener).open()
        for task in tasks:
            yield task, work(task)
        with Path(os.environ["RAN_BY_MADE_UP_RUNNER"]).open("a") as file:
            file.write("ran\\n")


RUNNER = Serial()
""",
)

EMBEDDER = Addition(
    table="engines/embedders/__init__.py:EMBEDDERS",
    row='Row("made-up-model", "cosface_cli.engines.embedders.made_up:MADE_UP", "means of 4 x 4 squares")',
    file="engines/embedders/made_up.py",
    content="""
import numpy as np

from cosface_cli.engines.embedders import PackagedEmbedder


class Means:
    name = "made-up-model"
    model_id = "made-up-model-1"
    template = "arcface"
    size = 48
    batch = 16
    thresholds = {"none": 0.9}

    def embed(self, crops):
        squares = crops.reshape(len(crops), 4, 28, 4, 28, 3).astype(np.float32).mean(axis=(2, 4))
        return squares.reshape(len(crops), 48) - 127.5


MADE_UP = PackagedEmbedder(open=Means)
""",
)

SEARCHER = Addition(
    table="engines/search/__init__.py:SEARCHERS",
    row='SearchRow("made-up-search", "cosface_cli.engines.search.made_up:MADE_UP", "numpy", product="made-up-product")',
    file="engines/search/made_up.py",
    content="""
import numpy as np

from cosface_cli.engines.search import PreparedSearch, Search


class AllRows:
    def __init__(self, vectors):
        self.vectors = vectors

    def propose(self, probes, k):
        cosines = probes @ self.vectors.take(np.arange(len(self.vectors))).T
        return np.argsort(-cosines, axis=1, kind="stable")[:, :k]


class MadeUp(Search):
    def build(self, vectors, part, uri, recall):
        return PreparedSearch()

    def open(self, vectors, lists, uri, settings):
        return AllRows(vectors)


MADE_UP = MadeUp()
""",
)

PROTOCOL = Addition(
    table="verify/protocols/__init__.py:PROTOCOLS",
    row='Row("made-up-protocol", "cosface_cli.verify.protocols.made_up:MadeUpConfig", "two names on a line")',
    file="verify/protocols/made_up.py",
    content='''
from dataclasses import dataclass
from typing import Annotated

from cosface_cli.artifacts.lists.pair_table import PairRow
from cosface_cli.options import option
from cosface_cli.verify.protocols.protocol_config import PairListConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeUpConfig(PairListConfig):
    """Pairs of names; the first folder level is the person."""

    first: Annotated[int, option("How many pairs are scored; 0: all.", at_least=0)] = 0

    @staticmethod
    def recognises(source, options):
        return "made-up.txt lies in it" if (source / "made-up.txt").is_file() else None

    def score(self, emit):
        from cosface_cli.verify.faces.open_faces import open_faces
        from cosface_cli.verify.figures.protocol_scores import ProtocolScores
        from cosface_cli.verify.protocols.listed_pairs import score_pairs

        listed = self.source / "made-up.txt"
        rows = []
        for line in listed.read_text().splitlines()[: self.first or None]:
            left, right = line.split()
            one, other = (name.partition("/")[0] for name in (left, right))
            rows.append(PairRow(left=left, right=right, same=one == other, left_identity=one, right_identity=other))
        with open_faces(self, self.source, self.crops_template, emit) as faces:
            scores, table, missing = score_pairs(rows, faces, listed, emit)
        return ProtocolScores(
            model=faces.model, data=table.data, pairs=scores, missing=missing, missing_rule=self.missing
        )
''',
)

ADDITIONS = (LOSS, BACKBONE, SOURCE, DETECTOR, RUNNER, EMBEDDER, SEARCHER, PROTOCOL)


def add(package: Path, addition: Addition) -> None:
    """Write the new file, and the row into its table."""
    (package / addition.file).write_text(addition.content.lstrip())
    path, _, name = addition.table.partition(":")
    source = (package / path).read_text()
    call = next(
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name
    )
    assert isinstance(call, ast.Call)
    before = call.args[0] if addition.first else call.args[-1]  # the kind, or the last row
    lines = source.splitlines(keepends=True)
    at = sum(map(len, lines[: (before.end_lineno or 0) - 1])) + (before.end_col_offset or 0)
    (package / path).write_text(f"{source[:at]}, {addition.row}{source[at:]}")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the extended package, and the input files."""
    root = tmp_path_factory.mktemp("additions")
    shutil.copytree(Path(cosface_cli.__file__).parent, root / "package" / "cosface_cli")
    for addition in ADDITIONS:
        add(root / "package" / "cosface_cli", addition)
    (root / "people.colours").write_text("20 90 160 230\n")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "middle"))
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["middle"])], "made_up", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), root / "middle.onnx")
    return root


@pytest.fixture(scope="module")
def cosface(root: Path) -> Cosface:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        added = {"PYTHONPATH": str(root / "package"), "RAN_BY_MADE_UP_RUNNER": str(root / "ran.txt")}
        command = [sys.executable, "-m", "cosface_cli", *words]
        done = subprocess.run(command, cwd=root, env=os.environ | added, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def aligned(root: Path, cosface: Cosface) -> Path:
    """Crops: by the made-up source, detector and runner."""
    cosface("align", "people.colours", "aligned", "--detector", "middle.onnx", "--engine", "made-up-runner")
    return root / "aligned"


@pytest.fixture(scope="module")
def store(root: Path, aligned: Path, cosface: Cosface) -> Path:
    """Embeddings: by the made-up model."""
    cosface("embed", "aligned", "faces.h5", "--model", "made-up-model", "--workers", "1")
    return root / "faces.h5"


def test_source_detector_and_runner(root: Path, aligned: Path):
    rows = [json.loads(line) for line in (aligned / "manifest.jsonl").read_text().splitlines()]
    assert sum("crop" in row for row in rows) == 16
    assert "made-up-detector-1" in (aligned / "manifest.jsonl").read_text()
    assert (root / "ran.txt").read_text() == "ran\n"


def test_loss_and_backbone(root: Path, aligned: Path, cosface: Cosface):
    words = ("--loss", "made-up-loss", "--loss-option", "temperature=3", "--backbone", "made-up-net")
    cosface("train", "aligned", *words, "--steps", "3", "--batch", "4", "--device", "cpu", "--out", "run")
    header = read_header(root / "run" / "weights.safetensors")
    assert (header.backbone, header.embedding_size) == ("made-up-net", 8)
    listed = cosface("train", "--list-losses", "--format", "json").stdout
    assert any(json.loads(line)["loss"] == "made-up-loss" for line in listed.splitlines())
    text = " ".join(cosface("train", "--help").stdout.split()).replace("- ", "-")
    assert "made-up-loss" in text and "made-up-net" in text


def test_embedder_and_search_engine(root: Path, store: Path, cosface: Cosface):
    built = cosface("index", "build", "faces.h5", "people.index", "--engine", "made-up-product", "--format", "json")
    report = json.loads(built.stdout)
    assert (report["rows"], report["engine"], report["search"]) == (16, "made-up-product", "made-up-search")
    found = cosface("index", "search", "people.index", "faces.h5", "-k", "4", "--format", "json").stdout.splitlines()
    rows = [json.loads(line) for line in found]
    assert len(rows) == 64
    assert all(row["identity"] == row["probe"].rpartition("/")[0].rpartition("/")[2] for row in rows)


def test_protocol_with_its_own_and_shared_options(root: Path, aligned: Path, cosface: Cosface):
    crops = sorted(path.relative_to(aligned).as_posix() for path in aligned.rglob("*.jpg"))
    pairs = [(one, other) for number, one in enumerate(crops) for other in crops[:number]]
    lines = [f"{one} {other}\n" for one, other in [*pairs, ("nobody/0.jpg", crops[0])]]
    (aligned / "made-up.txt").write_text("".join(lines))
    words = ("--missing", "skip", "--scores", "scores.csv", "--model", "made-up-model", "--format", "json")
    report = json.loads(cosface("verify", "aligned", *words).stdout)
    assert (report["protocol"], report["pairs"], report["scored"]) == ("made-up-protocol", 121, 120)
    assert len((root / "scores.csv").read_text().splitlines()) >= 120
    report = json.loads(cosface("verify", "aligned", "--protocol", "made-up-protocol", "--first", "9", *words).stdout)
    assert report["pairs"] == 9


def test_help_names_them(cosface: Cosface):
    shown = " ".join(cosface("embed", "--help").stdout.split()).replace("- ", "-")
    assert "made-up-model" in shown and "made-up-detector" in shown and "made-up-runner" in shown
