"""IJB's text files, and lines that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cosface_cli.artifacts.lists.ijb_meta import find_meta, read_media, read_points, read_subjects, read_template_pairs
from cosface_cli.errors import CosfaceError


def written(tmp_path: Path, text: str, name: str = "f.txt") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_the_files(tmp_path: Path):
    media = read_media(written(tmp_path, "1.jpg 1 69544\na b.jpg 1 69544\r\n\n3.jpg 12 7\n"))
    assert media.names == ("1.jpg", "a b.jpg", "3.jpg")
    assert media.templates.tolist() == [1, 1, 12] and media.media.tolist() == [69544, 69544, 7]
    pairs = read_template_pairs(written(tmp_path, "1 12 1\n12 3 0\n"))
    assert (pairs.left.tolist(), pairs.right.tolist(), pairs.same.tolist()) == ([1, 12], [12, 3], [True, False])
    points = read_points(written(tmp_path, "1.jpg 1 2 3 4 5 6 7 8 9.5 10 0.99\n"))
    assert points.landmarks == {"1.jpg": ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0), (9.5, 10.0))}
    assert points.scores == {"1.jpg": 0.99}
    text = "TEMPLATE_ID,SUBJECT_ID,FILENAME\n5,100,img/1.jpg\n5,100,img/2.jpg\n6,101\n"
    assert read_subjects(written(tmp_path, text)) == {5: 100, 6: 101}


@pytest.mark.parametrize(
    ("read", "text", "words"),
    (
        (read_media, "1.jpg 1 2\n1.jpg 1\n", "line 2 should be `photo template media`"),
        (read_media, "1.jpg one 2\n", "line 1 should be"),
        (read_media, "1.jpg ² 2\n", "line 1 should be"),
        (read_media, "\n", "the list is empty"),
        (read_template_pairs, "1 2\n", "not lines of `template template 0|1`"),
        (read_template_pairs, "1 2 3\n", "not lines of"),
        (read_template_pairs, "1 2 x\n", "not lines of"),
        (read_template_pairs, "-1 2 1\n", "not lines of"),
        (read_template_pairs, "1 2 1\n1 2\n", "not lines of"),
        (read_template_pairs, "1 2 99999999999999999999999\n", "not lines of"),
        (read_points, "1.jpg 1 2 3 4 5 6 7 8 9\n", "line 1 should be `photo`, ten numbers and a score"),
        (read_points, "1.jpg 1 2 3 4 5 6 7 8 9 10 nan\n", "line 1 should be"),
        (read_points, "1.jpg 1 2 3 4 5 6 7 8 9 ten 1\n", "line 1 should be"),
        (read_subjects, "T,S\n5\n", "line 2 should begin `template,subject`"),
        (read_subjects, "T,S\n5,1\n5,2\n", "line 3: template 5 has the subjects 1 and 2"),
        (read_subjects, "T,S\n", "no templates here"),
    ),
)
def test_what_does_not_fit(tmp_path: Path, read: Callable[[Path], Any], text: str, words: str):
    with pytest.raises(CosfaceError) as caught:
        read(written(tmp_path, text))
    assert words in str(caught.value) and "f.txt" in str(caught.value)


def test_an_empty_list_of_pairs_warns_of_nothing(tmp_path: Path):
    with pytest.raises(CosfaceError, match="not lines of"):
        read_template_pairs(written(tmp_path, ""))
    with pytest.raises(CosfaceError, match="cannot be read"):
        read_template_pairs(tmp_path / "none.txt")


def test_the_set_of_a_folder(tmp_path: Path):
    with pytest.raises(CosfaceError, match=r"no \.\.\._face_tid_mid\.txt here"):
        find_meta(tmp_path)
    for name in (
        "ijbb_face_tid_mid.txt",
        "ijbb_1N_gallery_S1.csv",
        "ijbb_1N_probe_mixed.csv",
        "ijbc_1N_gallery_G1.csv",
    ):
        written(tmp_path, "x", name)
    meta = find_meta(tmp_path)
    assert (meta.name, meta.pairs, meta.points) == ("ijbb", None, None)
    assert list(meta.galleries) == ["S1"] and meta.probes is not None and len(meta.all) == 3
    written(tmp_path, "x", "ijbc_face_tid_mid.txt")
    with pytest.raises(CosfaceError, match="files of several sets"):
        find_meta(tmp_path)
