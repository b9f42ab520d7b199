"""A folder of links: only what its list names is ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosface_cli.artifacts.files import links as module
from cosface_cli.artifacts.files.links import LIST, remove, replace_links
from cosface_cli.errors import CosfaceError


def photos(root: Path, *names: str) -> list[Path]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return [root / name for name in names]


def links(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for path in root.rglob("*")
        if path.name != LIST and path.is_file()
    }


@pytest.mark.parametrize("hard", (False, True))
def test_links_are_made_and_made_again(tmp_path: Path, hard: bool):
    one, two, three = photos(tmp_path / "p", "a/1.jpg", "b/1.jpg", "b/2.jpg")
    out = tmp_path / "out"
    count, missing = replace_links(out, [("Ann", one), ("Ann", two), ("7", three), ("7", tmp_path / "gone.jpg")], hard)
    assert count == 3 and missing == [tmp_path / "gone.jpg"]
    assert links(out) == {"Ann/1.jpg": "a/1.jpg", "Ann/1.2.jpg": "b/1.jpg", "7/2.jpg": "b/2.jpg"}
    assert (out / "Ann" / "1.jpg").samefile(one) and (out / "Ann" / "1.jpg").is_symlink() == (not hard)
    (out / "7" / "mine.txt").write_text("mine")
    assert replace_links(out, [("Bo", three)], hard) == (1, [])
    assert links(out) == {"Bo/2.jpg": "b/2.jpg", "7/mine.txt": "mine"} and not (out / "Ann").exists()
    assert [path.read_text() for path in (one, two, three)] == ["a/1.jpg", "b/1.jpg", "b/2.jpg"]


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path):
    (own,) = photos(tmp_path / "p", "a.jpg")
    with pytest.raises(CosfaceError, match="other content"):
        replace_links(tmp_path / "p", [("Ann", own)], hard=False)
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["a.jpg"]


def test_names_that_are_no_folder_names(tmp_path: Path):
    (own,) = photos(tmp_path / "p", "no ending")
    called = ["a/b", "a_b", "..", "../../x", ".hidden", "n" * 300, "人" * 100, "x\\y"]
    out = tmp_path / "out"
    assert replace_links(out, [(name, own) for name in called], hard=False) == (len(called), [])
    made = sorted(path.name for path in out.iterdir() if path.name != LIST)
    assert len(made) == len(called) and {"a_b", "a_b.2", "_.", "_._.._x", "_hidden", "x_y"} <= set(made)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "p"]


def test_the_time_of_a_link_does_not_hang_on_the_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Twice the people: twice the names that are looked through for a free one, not four times."""
    (own,) = photos(tmp_path / "p", "1.jpg")
    free, looked = module._free, []
    monkeypatch.setattr(module, "_free", lambda root, name, taken: looked.append(name) or free(root, name, taken))
    wanted = [(str(n // 2), own) for n in range(40)]
    assert replace_links(tmp_path / "out", wanted, hard=False) == (40, [])
    assert len(looked) == 40 + 20, "a name a link, and a name a person"


def test_what_took_a_links_place_and_last_copies_stay(tmp_path: Path):
    one, two = photos(tmp_path / "p", "1.jpg", "2.jpg")
    soft, hard = tmp_path / "soft", tmp_path / "hard"
    replace_links(soft, [("Ann", one)], hard=False)
    (soft / "Ann" / "1.jpg").unlink()
    (soft / "Ann" / "1.jpg").write_text("mine")
    replace_links(hard, [("Ann", one), ("Ann", two)], hard=True)
    two.unlink()
    remove(soft), remove(hard)
    assert links(soft) == {"Ann/1.jpg": "mine"} and links(hard) == {"Ann/2.jpg": "2.jpg"}


def test_a_list_that_points_elsewhere_is_refused(tmp_path: Path):
    (tmp_path / "victim").write_text("x")
    out = tmp_path / "out"
    out.mkdir()
    for name in ("../victim", "/etc/passwd", "a/../../victim", "one"):
        (out / LIST).write_text(f'{{"link": "{name}", "hard": true}}\n')
        with pytest.raises(CosfaceError, match="not a list of links"):
            remove(out)
    assert (tmp_path / "victim").exists()
