"""Photos that change, are removed, or disappear during a run: what the next run does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cosface_cli.align import AlignConfig, AlignReport
from cosface_cli.align.stage import align
from cosface_cli.embed import EmbedConfig, EmbedReport
from cosface_cli.embed.stage import embed
from cosface_cli.engines.sources.list_photos import list_photos
from cosface_cli.engines.sources.presence import require_whole
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, Outcome, Planned, Rejected
from tests.conftest import Cosface
from tests.folders import contents

pytestmark = pytest.mark.slow


class Watching:
    """Records outcomes, and calls a function once the photos are listed, before the work starts."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.notes: list[str] = []
        self.rejected: dict[str, str] = {}
        self._then = then

    def __call__(self, outcome: Outcome) -> None:
        match outcome:
            case Planned():
                self._then()
            case Note(text=text):
                self.notes.append(text)
            case Rejected(source=source, reason=reason):
                self.rejected[Path(source).name] = reason


def run(
    kind: str, raw: Path, out: Path, told: Watching | None = None, prune: bool = False
) -> AlignReport | EmbedReport:
    told = told or Watching()
    if kind == "align":
        return align(AlignConfig(raw=str(raw), aligned=out, workers=1, prune=prune), told)
    return embed(EmbedConfig(source=str(raw), store=out, workers=1, prune=prune), told)


def rows(source: Path, store: Path, prune: bool = False) -> int:
    return embed(EmbedConfig(source=str(source), store=store, workers=1, prune=prune)).rows


def content(out: Path) -> object:
    return contents(out) if out.is_dir() else out.read_bytes()


@pytest.fixture
def raw(people: Path, tmp_path: Path) -> Path:
    shutil.copytree(people / "person1", tmp_path / "raw" / "a")
    shutil.copytree(people / "person2", tmp_path / "raw" / "b")
    return tmp_path / "raw"


@pytest.mark.parametrize("kind", ["align", "embed"])
def test_results_of_removed_photos_stay_until_prune(raw: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    (raw / "a" / "broken.jpg").write_bytes(b"no picture")
    run(kind, raw, out)
    before = content(out)
    (raw / "a" / "far.jpg").unlink()
    (raw / "a" / "broken.jpg").unlink()
    told = Watching()
    kept = run(kind, raw, out, told)
    assert kept.gone == 2 and len(told.notes) == 1 and "2 of its photos" in told.notes[0], told.notes
    assert "--prune" in told.notes[0]
    if kind == "embed":
        assert content(out) == before
    else:
        assert (out / "a" / "far.jpg").is_file() and b"a/far.jpg" in (out / "manifest.jsonl").read_bytes()
    assert run(kind, raw, out, prune=True).gone == 2
    run(kind, raw, tmp_path / "fresh")
    assert content(out) == content(tmp_path / "fresh"), "as if they had never been there"
    told = Watching()
    assert run(kind, raw, out, told).gone == 0 and told.notes == []


def test_rows_of_removed_crops(raw: Path, tmp_path: Path) -> None:
    """The removal of a photo reaches the store through the crop folder; rows of other folders stay."""
    store = tmp_path / "faces.h5"
    run("embed", raw, store)
    run("align", raw, tmp_path / "crops")
    assert rows(tmp_path / "crops", store) == 12
    shutil.rmtree(raw / "b")
    run("align", raw, tmp_path / "crops", prune=True)
    assert not (tmp_path / "crops" / "b" / "far.jpg").exists()
    assert rows(tmp_path / "crops", store, prune=True) == 9
    assert rows(raw, store, prune=True) == 6


def test_prune_needs_a_complete_listing(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    run("align", raw, out)
    before = content(out)
    with pytest.raises(CosfaceError, match="--prune needs a folder or an archive"):
        run("align", raw / "a" / "far.jpg", out, prune=True)
    real = os.scandir

    def closed(path: Path) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return real(path)

    with monkeypatch.context() as patched:
        patched.setattr("os.scandir", closed)
        with pytest.raises(CosfaceError, match="--prune cannot tell what was removed"):
            run("align", raw, out, prune=True)
        told = Watching()
        report = run("align", raw, out, told)
        assert report.gone == 0 and "cannot be read" in told.notes[0]
    assert content(out) == before
    for path in raw.rglob("*.jpg"):
        path.unlink()
    run("align", raw, out, prune=True)
    assert content(out) == before, "an empty folder is rather one that is not mounted"


def test_archives_are_complete_listings_and_selections_are_not(raw: Path, tmp_path: Path) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "raw"), "zip", raw))
    assert list_photos(str(raw)).whole and list_photos(str(packed)).whole
    for selection in (f"{raw}/**/*.jpg", str(raw / "a" / "far.jpg")):
        listing = list_photos(selection)
        assert listing.items and not listing.whole
        with pytest.raises(CosfaceError):
            require_whole(selection, listing.whole)


@pytest.mark.parametrize("kind", ["align", "embed"])
def test_a_photo_that_disappears_during_the_run_keeps_its_results(raw: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    run(kind, raw, out)
    before = content(out)
    told = Watching((raw / "a" / "far.jpg").unlink)
    run(kind, raw, out, told)
    assert told.rejected == {"far.jpg": "missing"} and content(out) == before


@pytest.mark.parametrize("kind", ["align", "embed"])
@pytest.mark.parametrize("how", ["moved", "unmounted"])
def test_a_source_that_disappears_is_an_error_and_nothing_is_lost(
    raw: Path, tmp_path: Path, kind: str, how: str
) -> None:
    out, away = tmp_path / "out", tmp_path / "away"
    shutil.move(raw / "b", tmp_path / "later")
    run(kind, raw, out)
    before = content(out)
    shutil.move(tmp_path / "later", raw / "b")

    def vanish() -> None:
        raw.rename(away)
        if how == "unmounted":
            raw.mkdir()  # the empty place that a file system leaves behind

    with pytest.raises(CosfaceError, match="disappeared during the run") as caught:
        run(kind, raw, out, Watching(vanish), prune=True)
    assert str(raw) in str(caught.value) and len(str(caught.value).splitlines()) == 1
    if kind == "embed":
        assert content(out) == before and not (tmp_path / ".out.journal").exists()
    else:
        assert {name: data for name, data in contents(out).items() if name in before} == before
    if how == "unmounted":
        raw.rmdir()
    away.rename(raw)
    run(kind, raw, out)
    run(kind, raw, tmp_path / "fresh")
    assert content(out) == content(tmp_path / "fresh")


def test_prune_on_the_command_line(invoke: Cosface, raw: Path, tmp_path: Path) -> None:
    invoke("embed", raw, tmp_path / "a.h5")
    (raw / "a" / "far.jpg").unlink()
    assert "1 of its photos are no longer in" in invoke("embed", raw, tmp_path / "a.h5").err
    assert "their rows were removed" in invoke("embed", raw, tmp_path / "a.h5", "--prune").err
    listed = f"{raw}/b/far.jpg\n".encode()
    refused = invoke("align", "-", tmp_path / "c", "--prune", input=listed)
    assert refused.code == 2 and len(refused.err.splitlines()) == 1 and "--prune" in refused.err
