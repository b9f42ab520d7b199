"""cosface align --report: the contact sheet, rendered by a browser."""

from __future__ import annotations

import io
import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosface_cli.align.contact_sheet import write_contact_sheet
from cosface_cli.artifacts import pictures
from cosface_cli.artifacts.crops.crop_folder import CropFolder
from cosface_cli.artifacts.crops.manifest import CropRecord, RejectRecord
from cosface_cli.maths.geometry import template
from tests.browser import rendered
from tests.conftest import Cosface

pytestmark = pytest.mark.slow

WIDE = template("wide")
TILE = re.compile(r'<button [^>]*class="(crop|reject)"')
LABEL = re.compile(r'<button [^>]*aria-label="([^"]*)"')


def record(crop: str, score: float = 0.9, sharpness: float = 50.0, off: float = 0.0, yaw: float = 0) -> CropRecord:
    points = WIDE.landmarks + 10
    points[2, 0] += off
    return CropRecord(
        crop=crop,
        source=crop,
        size=1,
        mtime_ns=1,
        hash="00" * 32,
        face=1,
        faces=1,
        found=1,
        box=(10.0, 20.0, 110.0, 140.0),
        landmarks=tuple((float(x), float(y)) for x, y in points),
        score=score,
        template="wide",
        detector="mtcnn",
        settings="detector=mtcnn template=wide",
        quality={"face_px": 120.0, "sharpness": sharpness, "yaw": yaw},
    )


def reject(source: str, reason: str = "no_face", words: str = "no face was found") -> RejectRecord:
    return RejectRecord(
        source=source,
        size=1,
        mtime_ns=1,
        hash="00" * 32,
        reason=reason,
        words=words,
        settings="detector=mtcnn template=wide",
    )


def crop_folder(root: Path, records: list[CropRecord | RejectRecord]) -> Path:
    """A crop folder with the same image for every crop."""
    content = pictures.encode_jpeg(np.random.default_rng(1).integers(0, 255, (192, 192, 3), np.uint8))
    root.mkdir()
    folder = CropFolder(root)
    for found in records:
        if isinstance(found, CropRecord):
            (root / found.crop).parent.mkdir(parents=True, exist_ok=True)
            (root / found.crop).write_bytes(content)
            folder.add(found.source, [found])
        else:
            folder.add(found.source, found)
    folder.close()
    return root


def tiles(document: str) -> dict[str, int]:
    kinds = TILE.findall(document)
    return {kind: kinds.count(kind) for kind in ("crop", "reject")}


def labels(document: str) -> list[str]:
    return LABEL.findall(document.partition('id="sheet"')[2])


def test_align_writes_it_also_if_no_photo_is_new(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    out = tmp_path / "aligned"
    done = invoke("align", people, out, "--report")
    page = out / "report.html"
    assert done.code == 3 and f"contact sheet: {page}" in done.err and len(done.rows) == 24
    first = page.read_bytes()
    page.unlink()
    again = invoke("align", people, out, "--report")
    assert "0 done, 20 unchanged" in again.err and page.read_bytes() == first
    shutil.copytree(people, tmp_path / "raw2")
    invoke("align", tmp_path / "raw2", tmp_path / "aligned2")
    assert not (tmp_path / "aligned2" / "report.html").exists()
    assert invoke("embed", out, tmp_path / "faces.h5").code == 0, "the page is no crop"
    document = rendered(page)
    assert tiles(document) == {"crop": 20, "reject": 4}
    assert len(re.findall(r'<img[^>]* src="data:image/webp;base64,\w', document)) == 24, "rejects too have a picture"
    assert "no face was found" in document and "<code>no_face</code>" in document


def test_it_needs_no_network_and_no_other_file(tmp_path: Path) -> None:
    page = write_contact_sheet(crop_folder(tmp_path / "f", [record("a/1.jpg"), reject("a/2.jpg")]))
    text = page.read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"https?:|@import|url\(|<link|<script [^>]*src|<img[^>]* src", text)
    assert "default-src 'none'" in text
    moved = tmp_path / "elsewhere.html"
    shutil.copy(page, moved)
    assert tiles(rendered(moved, profile=tmp_path / "profile")) == {"crop": 1, "reject": 1}


def test_the_address_drives_the_filters(tmp_path: Path) -> None:
    held = [
        record("anna/1.jpg", 0.99, 10),
        record("anna/2.jpg", 0.80, 90, yaw=-40),
        record("bo/3.jpg", 0.95, 40, off=20),
    ]
    held += [reject("bo/4.jpg"), reject("cy/5.jpg", "truncated", "the JPEG ends too early")]
    page = write_contact_sheet(crop_folder(tmp_path / "f", held))
    for address, want in {
        "": ["anna/1.jpg", "anna/2.jpg", "bo/3.jpg", "bo/4.jpg, rejected: no_face", "cy/5.jpg, rejected: truncated"],
        "q=ANNA": ["anna/1.jpg", "anna/2.jpg"],
        "show=crops&reverse=1": ["bo/3.jpg", "anna/2.jpg", "anna/1.jpg"],
        "show=rejects": ["bo/4.jpg, rejected: no_face", "cy/5.jpg, rejected: truncated"],
        "show=reason:truncated": ["cy/5.jpg, rejected: truncated"],
        "show=crops&sort=score&group=0": ["anna/2.jpg", "bo/3.jpg", "anna/1.jpg"],
        "show=crops&sort=sharpness&group=0": ["anna/1.jpg", "bo/3.jpg", "anna/2.jpg"],
        "show=crops&sort=turned": ["anna/2.jpg", "anna/1.jpg", "bo/3.jpg"],
        "show=crops&sort=misfit": ["bo/3.jpg", "anna/1.jpg", "anna/2.jpg"],
        "q=nobody": [],
        "show=nonsense&sort=nonsense&q=bo%2F3": ["bo/3.jpg"],
    }.items():
        document = rendered(page, address)
        assert labels(document) == want, address
        assert (">No crop or reject matches.<" in document) == (not want)
        heads = re.findall(r"<h2 title=\"(\w+)\"", document)
        assert heads == ([] if "group=0" in address else list(dict.fromkeys(label.split("/")[0] for label in want)))


def test_names_never_become_markup(tmp_path: Path) -> None:
    attack = "<img src=x onerror=document.title='gone'>"
    names = [f"{attack}.jpg", "</script><script>document.title='gone'</script>.jpg", "a\"b'c&amp;<!--.jpg"]
    names += ["a\nb\x07.jpg", os.fsdecode(b"\xff.jpg"), "\u202egnp.jpg", "\u2028.jpg", "人脸.jpg", "{{ 7*7 }}.jpg"]
    names = [name.replace("/", "∕") for name in names]  # a file name has no slash
    held: list[CropRecord | RejectRecord] = [record(name) for name in names]
    held += [reject(f"r{name}", f"<em>{attack}", f"{attack}\x00") for name in names]
    folder = crop_folder(tmp_path / "f", held)
    page = write_contact_sheet(folder)
    text = page.read_text("utf-8")
    assert attack not in text and "</script><script>doc" not in text
    document = rendered(page)
    assert "<title>f: contact sheet</title>" in document and tiles(document) == {"crop": 9, "reject": 9}
    assert not re.search(r"<img src=.?x|<em>", document.replace(attack, "")), "only where it is a value"
    assert r"\xff.jpg" in document and r"\u{202e}gnp.jpg" in document and "人脸.jpg" in document
    assert "a\\u{a}b\\u{7}.jpg" in document and "{{ 7*7 }}.jpg" in document


def test_files_that_cannot_be_drawn_are_named(tmp_path: Path) -> None:
    folder = crop_folder(tmp_path / "f", [record("good.jpg"), record("bad.jpg"), record("gone.jpg"), reject("no.jpg")])
    (folder / "bad.jpg").write_bytes(b"half a pict")
    (folder / "gone.jpg").unlink()
    document = rendered(write_contact_sheet(folder))
    assert tiles(document) == {"crop": 3, "reject": 1}
    assert document.count('src="data:image/webp') == 1 and document.count(">no image<") == 2


def test_a_folder_of_rejects_only_and_an_empty_one(tmp_path: Path) -> None:
    assert tiles(rendered(write_contact_sheet(crop_folder(tmp_path / "r", [reject("a.jpg")])))) == {
        "crop": 0,
        "reject": 1,
    }
    assert ">No crop or reject matches.<" in rendered(write_contact_sheet(crop_folder(tmp_path / "e", [])))


def test_more_than_a_page_holds_is_sampled_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosface_cli.align.contact_sheet.MAX_ITEMS", 10)
    folder = crop_folder(tmp_path / "f", [record(f"{n:03}.jpg") for n in range(35)] + [reject("x.jpg")])
    document = rendered(write_contact_sheet(folder))
    assert labels(document) == [f"{n:03}.jpg" for n in range(0, 35, 4)] + ["x.jpg, rejected: no_face"]
    assert "This page shows 9 of the 35 crops" in document and "<dd>35</dd>" in document


def test_two_thousand_faces(tmp_path: Path) -> None:
    held = [record(f"{n // 20:03}/{n:04}.jpg", score=0.5 + n / 5000) for n in range(2000)]
    page = write_contact_sheet(crop_folder(tmp_path / "f", held))
    assert page.stat().st_size < 2000 * 6500, "noise is the worst that a picture can be"
    start = time.monotonic()
    document = rendered(page)
    assert tiles(document)["crop"] == 2000 and time.monotonic() - start < 60
    drawn = document.count("data:image/webp")
    assert 0 < drawn < 600, "only what is near is decoded"


def test_an_unwritable_page_leaves_the_old_one(tmp_path: Path) -> None:
    folder = crop_folder(tmp_path / "f", [record("a.jpg")])
    before = write_contact_sheet(folder).read_bytes()
    (folder / "manifest.jsonl").write_text('{"crop": 1}\n')
    from cosface_cli.errors import CosfaceError

    with pytest.raises(CosfaceError, match="not a manifest"):
        write_contact_sheet(folder)
    assert (folder / "report.html").read_bytes() == before and not list(folder.glob(".*part"))


def test_thumbnails_keep_their_shape_and_colours() -> None:
    for (height, width), want in {(300, 200): (64, 96), (192, 192): (96, 96), (40, 20): (20, 40)}.items():
        y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
        image = (np.stack([x, y, 1 - x], axis=2) * 255).astype(np.uint8)
        with Image.open(io.BytesIO(pictures.encode_thumbnail(image, 96))) as small:
            assert small.size == want and small.format == "WEBP"
            y, x = np.mgrid[0 : 1 : small.height * 1j, 0 : 1 : small.width * 1j]
            back = np.asarray(small.convert("RGB"))
        assert np.abs(back - np.stack([x, y, 1 - x], axis=2) * 255).mean() < 4
