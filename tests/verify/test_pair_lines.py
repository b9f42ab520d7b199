"""Pairs on standard input: three shapes, any name, and what is no pair."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosface_cli.errors import CosfaceError
from cosface_cli.verify.compare.pair_lines import split_pairs

NAMES = st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name)


def test_lines_of_either_shape() -> None:
    text = 'a.jpg\tb c.jpg\r\n\n{"left": "d\\t.jpg", "right": "é.jpg", "more": 1}\n'
    assert split_pairs(text.encode()) == [("a.jpg", "b c.jpg"), ("d\t.jpg", "é.jpg")]


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=5))
def test_any_name_by_nul(pairs: list[tuple[bytes, bytes]]) -> None:
    content = b"".join(a + b"\0" + b + b"\0" for a, b in pairs)
    assert split_pairs(content) == [(os.fsdecode(a), os.fsdecode(b)) for a, b in pairs]


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), min_size=1, max_size=5))
def test_any_text_by_json(pairs: list[tuple[str, str]]) -> None:
    content = "\n".join(json.dumps({"left": a, "right": b}) for a, b in pairs).encode()
    assert split_pairs(content) == pairs


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "no pairs"),
        (b"\n \n", "no pairs"),
        (b"a.jpg\n", "line 1"),
        (b"a\tb\nc\td\te\n", "line 2"),
        (b"a\t\n", "line 1"),
        (b'{"left": "a"}\n', "line 1"),
        (b'{"left": "a", "right": 3}\n', "line 1"),
        (b'{"left"', "line 1"),
        (b"[" * 100_000, "line 1"),
        (b"a\0b\0c\0", "3 names"),
        (b"a\0\0", "2 names"),
    ],
)
def test_invalid_pair_lines_are_named(content: bytes, part: str) -> None:
    with pytest.raises(CosfaceError, match=part) as caught:
        split_pairs(content)
    assert "\n" not in str(caught.value)
