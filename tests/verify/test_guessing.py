"""Which protocol files tell, and what is said where they tell none."""

from __future__ import annotations

import pickle
from dataclasses import fields
from pathlib import Path

import pytest

from cosface_cli.errors import CosfaceError
from cosface_cli.verify import ProtocolConfig
from cosface_cli.verify.protocols import OPTIONS, PROTOCOLS
from cosface_cli.verify.protocols.guessing import guess
from cosface_cli.verify.stage import verify_protocol
from tests.verify.conftest import MakeStore, at_angle


def test_every_protocol_is_told_by_its_files(make_store: MakeStore, tmp_path: Path):
    def made(name: str, content: str | bytes = "") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    store = make_store({"a/1.jpg": at_angle(0)})
    photos = tmp_path / "photos"
    lfw, ytf = (
        made("lfw/pairs.txt", "1\t1\n"),
        made("ytf/splits.txt", "split number, first name, second name, is same\n"),
    )
    table, ijb = made("list.csv", "left,right,same\n"), made("IJBC/meta/ijbc_face_tid_mid.txt")
    found = {
        "lfw in its folder": ("lfw", ProtocolConfig(lfw.parent)),
        "lfw by its list": ("lfw", ProtocolConfig(photos, pairs=lfw)),
        "lfw's list over a store": ("lfw", ProtocolConfig(store, pairs=lfw)),
        "ytf in its folder": ("ytf", ProtocolConfig(ytf.parent)),
        "ytf by its list": ("ytf", ProtocolConfig(photos, pairs=ytf)),
        "a list": ("csv", ProtocolConfig(photos, pairs=table)),
        "a list alone": ("csv", ProtocolConfig(table)),
        "objects": ("csv", ProtocolConfig(photos, pairs=made("list.txt", '{"left": "a", "right": "b"}\n'))),
        "a set": ("bin", ProtocolConfig(made("lfw.bin", pickle.dumps(([b""], [True]), 2)))),
        "ijb in its folder": ("ijb", ProtocolConfig(tmp_path / "IJBC")),
        "ijb over a store": ("ijb", ProtocolConfig(store, pairs=ijb.parent)),
        "megaface": ("megaface", ProtocolConfig(store, distractors=store)),
        "a store": ("all-pairs", ProtocolConfig(store)),
    }
    assert {name for name, _ in found.values()} == set(PROTOCOLS.names)
    for words, (name, config) in found.items():
        assert guess(config)[0] == name, words
    with pytest.raises(CosfaceError, match="nothing here says which protocol is meant"):
        guess(ProtocolConfig(tmp_path))
    with pytest.raises(CosfaceError, match="no such file or folder"):
        guess(ProtocolConfig(tmp_path / "none"))
    with pytest.raises(CosfaceError, match="not a list of pairs that is known here"):
        guess(ProtocolConfig(photos, pairs=made("odd.txt", "one two\n")))
    with pytest.raises(CosfaceError, match="no such file"):
        guess(ProtocolConfig(photos, pairs=tmp_path / "none.txt"))


def test_a_wrong_name_and_options_of_others(make_store: MakeStore):
    store = make_store({"a/1.jpg": at_angle(0)})
    with pytest.raises(CosfaceError, match="no protocol is called 'lwf'; did you mean 'lfw'"):
        verify_protocol(ProtocolConfig(store, "lwf"))
    assert set(OPTIONS) <= {field.name for field in fields(ProtocolConfig)}
    assert {name for names in OPTIONS.values() for name in names} <= set(PROTOCOLS.names)
    for option, value in (("frames", 3), ("noises", store), ("weight_by_detector", True), ("dev_pairs", store)):
        flag = "--" + option.replace("_", "-")
        with pytest.raises(CosfaceError, match=f"{flag} goes with --protocol {OPTIONS[option][0]}"):
            verify_protocol(ProtocolConfig(store, "all-pairs", **{option: value}))  # type: ignore[arg-type]
