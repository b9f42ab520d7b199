"""Where photos come from: folders with links, loops, pipes and names of every kind; lists on standard input."""

from __future__ import annotations

import glob
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cosface_cli.engines.sources import File, Item, Listing, SourceRequest, folder
from cosface_cli.engines.sources.list_photos import list_photos
from cosface_cli.engines.sources.paths import list_paths, split_paths
from cosface_cli.errors import CosfaceError

JPEG = b"\xff\xd8\xff\xe0" + bytes(20)


def tree(root: Path, *names: str, content: bytes = b"") -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def list_folder(root: Path, excluded: Path | None = None) -> Listing:
    listing = folder.list_folder(SourceRequest(str(root), excluded=excluded))
    assert listing is not None and listing.root == root
    return listing


def names(listing: Listing) -> list[str]:
    return [item.name for item in listing.items]


def test_the_order_is_that_of_the_names_bytes(tmp_path: Path):
    odd = [os.fsdecode(b"\xff.jpg"), "é.jpg", "Z.jpg", "a.jpg", "a/1.jpg", "a-/1.jpg", "10.jpg", "9.jpg", "名/1.jpg"]
    found = names(list_folder(tree(tmp_path, *odd)))
    assert found == sorted(odd, key=os.fsencode)
    assert found.index("Z.jpg") < found.index("a-/1.jpg") < found.index("a.jpg") < found.index("a/1.jpg")


@pytest.mark.parametrize(
    "name", ("a b", "a,b", 'a"b', "a\nb", "a\tb", "-a", "100%", "a\\b", "顔", "a'b", os.fsdecode(b"a\xffb"))
)
def test_names_of_every_kind(tmp_path: Path, name: str):
    tree(tmp_path, f"{name}/{name}.jpg", content=JPEG)
    listing = list_folder(tmp_path)
    assert names(listing) == [f"{name}/{name}.jpg"] and listing.notes == ()
    assert listing.items[0].identity == name and listing.items[0].place.read() == JPEG


def test_items_say_what_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tree(tmp_path / "photos", "p/1.jpg", "top.png")
    monkeypatch.chdir(tmp_path)
    items = list_folder(Path("photos")).items
    assert items == (
        Item("p/1.jpg", File(Path("photos/p/1.jpg")), "photos/p/1.jpg"),
        Item("top.png", File(Path("photos/top.png")), "photos/top.png"),
    )
    assert [item.identity for item in items] == ["p", None]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path):
    tree(tmp_path, ".hidden.jpg", ".git/a.jpg", "a/.b/c.jpg", "a/b.jpg", "._a.jpg")
    listing = list_folder(tmp_path)
    assert names(listing) == ["a/b.jpg"] and listing.notes == ()


def test_photos_by_their_ending_in_any_case_or_by_their_first_bytes(tmp_path: Path):
    tree(tmp_path, "a.JPG", "b.JpEg", "c.heic", "d.tif")
    tree(tmp_path, "no ending", "odd.orig", "IMG_1.jpg_large", content=JPEG)
    want = ["IMG_1.jpg_large", "a.JPG", "b.JpEg", "c.heic", "d.tif", "no ending", "odd.orig"]
    assert names(list_folder(tmp_path)) == want


def test_other_files_are_counted_in_a_note(tmp_path: Path):
    tree(tmp_path, "a.jpg", "notes.txt", "b/list.csv", "Thumbs.db", "empty")
    tree(tmp_path, "set.zip", "b/train.rec")
    listing = list_folder(tmp_path)
    assert names(listing) == ["a.jpg"]
    assert listing.notes == (
        "4 files that are not photos were skipped (Thumbs.db, empty, list.csv, ...)",
        "2 archives were skipped (set.zip, train.rec): give the path of each to read it",
    )


def test_links_are_followed_and_loops_end(tmp_path: Path):
    tree(tmp_path / "else", "x.jpg")
    root = tree(tmp_path / "photos", "a/b/1.jpg")
    (root / "a/b/up").symlink_to(root)
    (root / "a/b/here").symlink_to(root / "a/b")
    (root / "linked").symlink_to(tmp_path / "else")
    (root / "one.jpg").symlink_to(tmp_path / "else/x.jpg")
    (root / "self").symlink_to("self")
    (root / "self.jpg").symlink_to("self.jpg")
    (root / "gone.jpg").symlink_to("nowhere.jpg")
    assert names(list_folder(root)) == ["a/b/1.jpg", "gone.jpg", "linked/x.jpg", "one.jpg", "self.jpg"]


def test_pipes_and_folders_with_a_photo_s_name(tmp_path: Path):
    """Opening the pipe would wait for ever."""
    tree(tmp_path, "folder.jpg/inner.png")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to pipe.jpg").symlink_to("pipe")
    listing = list_folder(tmp_path)
    assert names(listing) == ["folder.jpg/inner.png"]
    assert listing.notes[0].startswith("3 files that are not photos")


def test_the_output_folder_inside_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tree(tmp_path, "a/1.jpg", "aligned/a/1.jpg", "aligned2/1.jpg")
    monkeypatch.chdir(tmp_path)
    for excluded in (tmp_path / "aligned", Path("aligned"), tmp_path / "a" / ".." / "aligned"):
        assert names(list_folder(tmp_path, excluded)) == ["a/1.jpg", "aligned2/1.jpg"]
    assert len(list_folder(tmp_path, tmp_path / "not there yet").items) == 3


def test_very_deep_folders(tmp_path: Path):
    root = tmp_path / "deep"
    path = root / Path("d/" * 1200)
    subprocess.run(["mkdir", "-p", path], check=True)
    try:
        (path / "deep.jpg").touch()
        assert names(list_folder(root)) == ["d/" * 1200 + "deep.jpg"]
    finally:  # pytest's own way to clean up does not get so deep
        subprocess.run(["rm", "-r", root], check=True)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Permission bits do not bind root, so the refusal is made by hand."""
    tree(tmp_path, "a/1.jpg", "closed/1.jpg")
    scan = os.scandir

    def refusing(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    listing = list_folder(tmp_path)
    assert names(listing) == ["a/1.jpg"]
    assert listing.notes == (f"{tmp_path / 'closed'}: this folder cannot be read; its photos are missing",)


def test_paths_are_split_by_newlines_or_nul():
    assert split_paths(b"a.jpg\nb c.jpg\n") == ["a.jpg", "b c.jpg"]
    assert split_paths(b"a.jpg\nb.jpg") == ["a.jpg", "b.jpg"]
    assert split_paths(b"\n\na.jpg\n\n") == ["a.jpg"]
    assert split_paths(b"new\nline.jpg\0b.jpg\0") == ["new\nline.jpg", "b.jpg"]
    assert split_paths(b"") == []
    assert [os.fsencode(path) for path in split_paths(b"caf\xe9.jpg\n\xff\n")] == [b"caf\xe9.jpg", b"\xff"]


def test_a_list_keeps_its_order_and_takes_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    listing = list_paths(["b/2.jpg", "a/1.jpg", "./b/2.jpg", "b//2.jpg", str(tmp_path / "c.jpg")])
    outside = str(tmp_path / "c.jpg").lstrip("/")
    assert names(listing) == ["b/2.jpg", "a/1.jpg", outside]
    assert [item.display_name for item in listing.items] == ["b/2.jpg", "a/1.jpg", str(tmp_path / "c.jpg")]
    assert listing.notes == ("2 repeated paths were skipped",)


def test_names_of_paths_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    up = str(tmp_path / "up.jpg").lstrip("/")
    listing = list_paths(["../up.jpg", "..dots.jpg", "...jpg", "a/../b.jpg"])
    assert names(listing) == [up, "..dots.jpg", "...jpg", "b.jpg"]


def test_two_files_of_one_name_are_refused_not_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CosfaceError, match=r"both be named etc/a\.jpg"):
        list_paths(["/etc/a.jpg", "etc/a.jpg"])


def test_one_word_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tree(tmp_path, "a/1.jpg", "a/2.jpg", "..3.jpg")
    monkeypatch.chdir(tmp_path)
    assert names(list_photos("a")) == ["1.jpg", "2.jpg"]
    assert list_photos("a/2.jpg").items == (Item("2.jpg", File(Path("a/2.jpg")), "a/2.jpg"),)
    assert names(list_photos("..3.jpg")) == ["..3.jpg"]
    with pytest.raises(CosfaceError, match=r"none: no such file or folder; give a folder"):
        list_photos("none")
    for given in (b"a/2.jpg\na/1.jpg\n", b"a/2.jpg\0a/1.jpg\0"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        assert names(list_photos("-")) == ["a/2.jpg", "a/1.jpg"]


def test_patterns_are_relative_to_their_fixed_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tree(tmp_path / "raw", "a/1.jpg", "a/b/2.jpg", "c/3.png", "4.jpg", ".h/5.jpg", "a/.6.jpg")
    monkeypatch.chdir(tmp_path)
    for pattern, want in (
        ("raw/**/*.jpg", ["4.jpg", "a/1.jpg", "a/b/2.jpg"]),
        ("raw/*/*.jpg", ["a/1.jpg"]),
        ("raw/**", ["4.jpg", "a/1.jpg", "a/b/2.jpg", "c/3.png"]),
        ("raw/a/**/?.jpg", ["1.jpg", "b/2.jpg"]),
        ("raw/[ac]/*", ["a/1.jpg", "c/3.png"]),
        ("**/b/*.jpg", ["raw/a/b/2.jpg"]),
        (str(tmp_path / "raw/*.jpg"), ["4.jpg"]),
    ):
        listing = list_photos(pattern)
        assert names(listing) == want and listing.notes == (), pattern
    (item,) = list_photos("raw/*.jpg").items
    assert item == Item("4.jpg", File(Path("raw/4.jpg")), "raw/4.jpg") and list_photos("raw/*.jpg").root == Path("raw")


def test_patterns_meet_what_glob_finds(tmp_path: Path):
    """Python's own glob as the oracle."""
    tree(tmp_path, "a/1.jpg", "a/b/1.jpg", "a/b/c/1.jpg", "b/2.jpg", "1.jpg", "b/a/b/1.jpg", "a/b/12.jpg")
    for pattern in ("**/*.jpg", "*/*.jpg", "a/**/1.jpg", "**/b/**/1*.jpg", "**/b/*.jpg", "?/**/[1].jpg", "**/**/1.jpg"):
        want = sorted(path for path in glob.glob(str(tmp_path / pattern), recursive=True))  # noqa: PTH207
        assert sorted(item.display_name for item in list_photos(str(tmp_path / pattern)).items) == sorted(set(want)), (
            pattern
        )


def test_a_pattern_without_a_match_is_an_error(tmp_path: Path):
    tree(tmp_path, "a/1.jpg", "set.zip")
    for pattern in ("a/*.png", "none/*.jpg", "*.zip", "*.jpg"):
        with pytest.raises(CosfaceError, match="no photo matches this pattern"):
            list_photos(str(tmp_path / pattern))


def test_a_name_with_brackets_is_a_name_where_there_is_such_a_file(tmp_path: Path):
    tree(tmp_path, "a[1].jpg", "a1.jpg", "b[2]/x.jpg")
    assert names(list_photos(str(tmp_path / "a[1].jpg"))) == ["a[1].jpg"]
    assert names(list_photos(str(tmp_path / "b[2]"))) == ["x.jpg"]


def test_links_that_lead_back_do_not_catch_a_pattern(tmp_path: Path):
    root = tree(tmp_path, "a/b/1.jpg")
    (root / "a/b/up").symlink_to(root)
    (root / "a/up").symlink_to(root)
    assert names(list_photos(str(root / "**/*.jpg"))) == ["a/b/1.jpg"]


def test_every_is_never_passed_over_in_silence(tmp_path: Path):
    tree(tmp_path, "a.jpg")
    assert list_photos(str(tmp_path), every=2).notes == (f"{tmp_path}: it has no videos, so --every 2 has no effect",)
    for every in (0, -1, float("nan"), float("inf")):
        with pytest.raises(CosfaceError, match="--every must be at least"):
            list_photos(str(tmp_path), every=every)
