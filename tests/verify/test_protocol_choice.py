"""Which protocol is meant, and which options it takes: each protocol says so itself, in its file."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest

from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.errors import CosfaceError
from cosface_cli.options import option, parameters
from cosface_cli.outcomes import OnOutcome
from cosface_cli.registry import Row
from cosface_cli.verify.figures.protocol_scores import PairScores, ProtocolScores
from cosface_cli.verify.protocols import PROTOCOLS, name_of, recognise
from cosface_cli.verify.protocols.protocol_config import ProtocolConfig
from tests.conftest import Cosface
from tests.verify.conftest import MakeStore, at_angle


def test_protocols_recognise_their_files(make_store: MakeStore, tmp_path: Path):
    def made(name: str, content: str | bytes = "") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    store = make_store({"a/1.jpg": at_angle(0)})
    (photos := tmp_path / "photos").mkdir()
    lfw, ytf = (
        made("lfw/pairs.txt", "1\t1\n"),
        made("ytf/splits.txt", "split number, first name, second name, is same\n"),
    )
    table, ijb = made("list.csv", "left,right,same\n"), made("IJBC/meta/ijbc_face_tid_mid.txt")
    cases: dict[str, tuple[str, Path, Mapping[str, Any]]] = {
        "lfw in its folder": ("lfw", lfw.parent, {}),
        "lfw by its list": ("lfw", photos, {"pairs": lfw}),
        "lfw's list over a store": ("lfw", store, {"pairs": lfw}),
        "ytf in its folder": ("ytf", ytf.parent, {}),
        "ytf by its list": ("ytf", photos, {"pairs": ytf}),
        "a list": ("csv", photos, {"pairs": table}),
        "a list alone": ("csv", table, {}),
        "objects": ("csv", photos, {"pairs": made("list.txt", '{"left": "a", "right": "b"}\n')}),
        "a set": ("bin", made("lfw.bin", pickle.dumps(([b""], [True]), 2)), {}),
        "ijb in its folder": ("ijb", tmp_path / "IJBC", {}),
        "ijb over a store": ("ijb", store, {"pairs": ijb.parent}),
        "megaface": ("megaface", store, {"distractors": store}),
        "a store": ("all-pairs", store, {}),
    }
    for words, (name, source, options) in cases.items():
        assert recognise(source, options)[0] == name, words
    with pytest.raises(CosfaceError, match=r"no protocol recognises these files; .*--protocol lfw\|ytf"):
        recognise(tmp_path, {})
    with pytest.raises(CosfaceError, match=r"odd\.txt: no protocol recognises"):
        recognise(photos, {"pairs": made("odd.txt", "one two\n")})
    with pytest.raises(CosfaceError, match="no such file or folder"):
        recognise(tmp_path / "none", {})
    with pytest.raises(CosfaceError, match=r"none\.txt: no such file or folder"):
        recognise(photos, {"pairs": tmp_path / "none.txt"})


@pytest.mark.parametrize("name", PROTOCOLS.names)
def test_configs_are_found_by_name_and_by_class(name: str, tmp_path: Path):
    kind: Any = PROTOCOLS.load(name)
    assert issubclass(kind, ProtocolConfig) and kind.__doc__
    assert name_of(kind(source=tmp_path)) == name


def test_options_of_another_protocol_are_refused(invoke: Cosface, make_store: MakeStore, tmp_path: Path):
    store = make_store({"a/1.jpg": at_angle(0), "a/2.jpg": at_angle(9), "b/1.jpg": at_angle(90)})
    (listed := tmp_path / "p.csv").write_text("left,right,same\na/1.jpg,a/2.jpg,1\na/1.jpg,b/1.jpg,0\n")
    for words, part in [
        (("--protocol", "all-pairs", "--frames", 3), "--frames is not an option of --protocol all-pairs; leave it out"),
        (("--protocol", "all-pairs", "--missing", "skip"), "--missing is not an option of --protocol all-pairs"),
        (("--weight-by-detector",), "--weight-by-detector is not an option of protocol all-pairs"),
        (("--pairs", listed, "--dev-pairs", listed), "--dev-pairs is not an option of protocol csv"),
        (("--pairs", listed, "--threshold", 0.5), "--threshold is not an option of protocol csv"),
        (("--protocol", "megaface", "--distractors", store, "--flip", "sum"), "--flip is not an option of --protocol"),
        (("--protocol", "lwf"), "--protocol 'lwf' is not known; did you mean 'lfw'?"),
        (("--pairs", listed, "--faces", "all"), "--faces 'all' is not known; choose one of largest, center"),
    ]:
        done = invoke("verify", store, *words)
        assert done.code == 2 and part in done.err and done.out == "", done


def test_help_lists_the_options_of_a_protocol_under_its_own_heading(invoke: Cosface):
    text = invoke("verify", "--help").out
    sections = {block.partition(":\n")[0]: block for block in text.split("\n\n")}
    for name in PROTOCOLS.names:
        assert name in sections["Protocol"]
        groups = {found.option.group for found in parameters(PROTOCOLS.load(name))}
        assert {group for group in groups if group.startswith("Protocol ")} <= {f"Protocol {name}"}
    for name, flag in (("lfw", "--dev-pairs"), ("ytf", "--pooling"), ("megaface", "--noises"), ("csv", "--groups")):
        assert flag in sections[f"Protocol {name}"] and text.count(f"  {flag} ") == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TriangleConfig(ProtocolConfig):
    """A protocol that is not in the table: three pairs with known scores."""

    source: Path
    tilt: Annotated[float, option("Added to each score.", at_most=1, group="Protocol triangle")] = 0.0

    @staticmethod
    def recognises(source: Path, options: Mapping[str, Any]) -> str | None:
        return f"{source.name} is a triangle" if source.suffix == ".triangle" else None

    def score(self, emit: OnOutcome) -> ProtocolScores:
        pairs = PairScores(
            scores=np.array([0.9, 0.8, 0.1]) + self.tilt,
            same=np.array([True, True, False]),
            left=np.array([0, 1, 0]),
            right=np.array([1, 0, 2]),
            names=("a", "b", "c"),
            identities=("x", "x", "y"),
            fold=np.ones(3, np.int64),
        )
        return ProtocolScores(model=ModelIdentity(name="geometry", id="3"), data="", pairs=pairs)


def test_a_new_protocol_is_one_file_and_one_row(invoke: Cosface, tmp_path: Path):
    (source := tmp_path / "a.triangle").write_text("")
    row = Row("triangle", f"{__name__}:TriangleConfig", "three pairs with known scores")
    with PROTOCOLS.with_row(row):
        done = invoke("verify", source, "--tilt", "0.05")
        assert done.code == 0 and "protocol triangle: a.triangle is a triangle" in done.err, done
        (result,) = done.rows
        assert (result["protocol"], result["model"], result["genuine"], result["impostors"]) == (
            "triangle",
            "geometry",
            2,
            1,
        )
        assert result["eer"]["eer"] == 0 and result["eer"]["threshold"] == pytest.approx(0.85)
        assert "--tilt must be at most 1, got 2" in invoke("verify", source, "--tilt", "2").err
        other = invoke("verify", source, "--protocol", "triangle", "--missing", "skip")
        assert "--missing is not an option of --protocol triangle" in other.err
        assert "Protocol triangle:" in invoke("verify", "--help").out
    gone = invoke("verify", source)
    assert gone.code == 2 and "no protocol recognises" in gone.err
