"""Fixtures of the tests of indexes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cosface_cli.artifacts.crops.manifest import CropRecord, RejectRecord, line
from cosface_cli.artifacts.index import people_file
from cosface_cli.artifacts.index.people_file import People, Person, write_people
from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import write_store
from cosface_cli.index import BuildConfig
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.index.stage import build
from tests.index.crop_people import EACH, PEOPLE, crop_bytes, digest
from tests.index.stores import HEADER, vectors


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """aligned/ with two faces in each fifth photo, faces.h5, people.index with two segments and a name; not to be
    written to."""
    root = tmp_path_factory.mktemp("forget")
    aligned = root / "aligned"
    found = vectors(PEOPLE * EACH)
    manifest, pairs = [], []
    for number in range(PEOPLE * EACH):
        person, photo = f"P{number // EACH:02d} Müller", number % EACH
        first = photo != 4
        # the photo before has a second face: its crop is this one
        crop = f"{person}/{photo}.jpg" if first else f"{person}/3.2.jpg"
        source = f"{person}/{photo if first else 3}.jpg"
        content = crop_bytes(crop)
        (aligned / person).mkdir(parents=True, exist_ok=True)
        (aligned / crop).write_bytes(content)
        points = ((67.0, 85.5), (125.1, 85.3), (95.6, 121.6), (69.7, 146.6), (121.9, 146.4))
        faces = 2 if photo >= 3 else 1
        record = CropRecord(
            crop=crop,
            source=source,
            size=9,
            mtime_ns=9,
            hash=digest(source.encode()),
            face=1 if first else 2,
            faces=faces,
            found=faces,
            box=(0.0, 0.0, 9.0, 9.0),
            landmarks=points,
            score=0.9,
            template="wide",
            detector="d",
            settings="s",
        )
        manifest.append(line(record))
        row = FaceRow(
            source=crop,
            identity=person,
            root=str(aligned),
            settings="s",
            face=1,
            box=(0.0, 0.0, 9.0, 9.0),
            score=0.9,
            sharpness=1.0,
            hash=digest(content),
        )
        pairs.append((row, found[number]))
    (aligned / "manifest.jsonl").write_text("".join(manifest))
    rejects = [
        RejectRecord(
            source=f"P0{n} Müller/bad.jpg",
            size=1,
            mtime_ns=1,
            hash="",
            reason="no_face",
            words=f"P0{n} Müller/bad.jpg: no face",
            settings="s",
        )
        for n in range(4)
    ]
    (aligned / "rejects.jsonl").write_text("".join(map(line, rejects)))
    (aligned / "report.html").write_text("a page that shows P01 Müller/0.jpg")
    no_face = {"root": str(aligned), "hash": "", "size": 1, "mtime_ns": 1, "settings": "s", "reason": "no_face"}
    store_rejects = [{**no_face, "source": f"P0{n} Müller/bad.jpg", "words": "w"} for n in range(4)]
    write_store(root / "faces.h5", HEADER, pairs[:45], store_rejects)
    build(BuildConfig(stores=(root / "faces.h5",), index=root / "people.index", search="flat"))
    write_store(root / "faces.h5", HEADER, pairs, store_rejects)
    build(BuildConfig(stores=(root / "faces.h5",), index=root / "people.index"))
    assert len(Gallery(root / "people.index").parts) == 2
    named = tuple(sorted(people_file.face_key(row) for row, _ in pairs[35:38]))
    write_people(root / "people.index", People({3: Person(3, "Zoë", True, named)}, 4))
    return root


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Iterator[Path]:
    """The same to write to, where its paths say it is."""
    aside = tmp_path / "aside"
    shutil.copytree(template, aside)
    yield template
    shutil.rmtree(template)
    shutil.copytree(aside, template)
