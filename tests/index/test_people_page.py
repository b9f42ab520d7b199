"""cosface index cluster --html: the groups, read by a browser."""

from __future__ import annotations

import base64
import io
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cosface_cli.artifacts import pictures
from cosface_cli.artifacts.index.people_file import People, Person, read_people
from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.index.people import ClusterConfig
from cosface_cli.index.people.groups import people_page
from cosface_cli.index.people.groups.linkage import Groups
from cosface_cli.index.people.groups.persons import GroupedFaces
from cosface_cli.index.people.names.edits import label, merge_people
from cosface_cli.index.people.stage import cluster
from tests.browser import rendered
from tests.conftest import Cosface
from tests.index.made import index, people, photo, row

pytestmark = pytest.mark.slow

COMMAND = re.compile(r'id="about" role="status">(.*?)</p>', re.S)


def with_pictures(root: Path, faces: list[Any], side: int = 64) -> list[Any]:
    """The same faces, with a picture where each of their rows says."""
    for found, _ in faces:
        path = Path(found.root) / found.source
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = int(found.hash[:8], 16)
        image = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
        path.write_bytes(pictures.encode_jpeg(image))
    return faces


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An index of ann (1), bo (2), cy (3), and eve alone."""
    faces = people({"ann": 5, "bo": 4, "cy": 3, "eve": 1}, root=tmp_path / "photos")
    made = index(tmp_path / "people.index", with_pictures(tmp_path, faces))
    cluster(ClusterConfig(index=made))
    return made


def drawn(root: Path, page: Path, hash: str = "") -> str:
    if not page.exists():
        cluster(ClusterConfig(index=root, page=page))
    return rendered(page, hash)


def heads(document: str) -> list[str]:
    return re.findall(r'<h2><button type="button">([^<]*)</button>', document.partition('id="sheet"')[2])


def faces(document: str) -> list[str]:
    return re.findall(r'<button [^>]*aria-label="([^"]*)"', document.partition('id="sheet"')[2])


def test_every_group_its_doubtful_faces_and_its_neighbours(cosface: Cosface, root: Path, tmp_path: Path) -> None:
    label(root, "1", "Ann")
    wrong = people({"cy": 1})[0]
    persons = read_people(root)
    merge_people(root, "2", ["3"])
    page = tmp_path / "people.html"
    done = cosface("index", "cluster", root, "--html", page)
    assert done.code == 0 and len(done.rows) == 13 and str(page) in done.err
    document = rendered(page)
    assert heads(document) == ["Group 2", "Ann", "In no group"]
    assert re.findall(r"<dd>([^<]*)</dd>", document) == ["13", "2", "1", "7", "1"]
    shown = faces(document)
    assert len(shown) == 13 and [name.endswith(", doubtful") for name in shown[:7]] == sorted(
        (name.endswith(", doubtful") for name in shown[:7]), reverse=True
    )
    assert f"{wrong[0].source}, doubtful" in shown, "cy was put to bo"
    assert len(re.findall(r'<img[^>]* src="data:image/webp;base64,\w', document)) == 13
    nearest = re.findall(r'class="near soft">nearest<button type="button">([^<]*)<', document)
    means = [
        np.mean([photo(*one) for one in own], axis=0)
        for own in ([("bo", n) for n in range(4)] + [("cy", n) for n in range(3)], [("ann", n) for n in range(5)])
    ]
    assert nearest == [f"Ann {means[0] @ means[1]:.3f}", f"Group 2 {means[0] @ means[1]:.3f}"]
    assert read_people(root).views == (str(page),) and persons.views == ()


def test_it_needs_no_network_and_no_other_file(root: Path, tmp_path: Path) -> None:
    page = tmp_path / "p.html"
    cluster(ClusterConfig(index=root, page=page))
    first = page.read_bytes()
    cluster(ClusterConfig(index=root, page=page))
    assert page.read_bytes() == first
    text = page.read_text()
    assert not re.findall(r"https?:|@import|url\(|<link|<script [^>]*src|<img[^>]* src", text)
    assert "default-src 'none'" in text and str(tmp_path / "photos") not in text
    for path in (tmp_path / "photos").rglob("*.jpg"):
        path.unlink()
    assert drawn(root, page).count('src="data:image/webp') == 13
    again = tmp_path / "again.html"
    assert drawn(root, again).count(">no picture<") == 13, "what is not there any more is named"


def test_the_address_drives_what_is_shown(root: Path, tmp_path: Path) -> None:
    label(root, "2", "Zoe")
    page = tmp_path / "p.html"
    for address, want in {
        "": ["Group 1", "Zoe", "Group 3", "In no group"],
        "sort=name": ["Zoe", "Group 1", "Group 3", "In no group"],
        "show=named": ["Zoe"],
        "show=unnamed": ["Group 1", "Group 3"],
        "show=single": ["In no group"],
        "q=CY%2F": ["Group 3"],
        "q=eve": ["In no group"],
        "q=nobody": [],
        "show=nonsense&sort=nonsense": ["Group 1", "Zoe", "Group 3", "In no group"],
    }.items():
        document = drawn(root, page, address)
        assert heads(document) == want, address
        assert (">No group matches.<" in document) == (not want)


def test_what_is_picked_becomes_a_command(root: Path, tmp_path: Path) -> None:
    page = tmp_path / "p.html"
    drawn(root, page)
    # the value of a field is no part of the document: a copy of the page shows it as text
    shown = page.read_text().replace(
        'at("about").textContent = about;', 'at("about").textContent = at("command").value;'
    )
    other = tmp_path / "shown.html"
    shown = shown.replace(
        "readAddress();\n})();", 'readAddress(); at("about").textContent = at("command").value;\n})();'
    )
    other.write_text(shown)
    index_name = str(root)
    for address, want in {
        "pick=1,3": ["people", "merge", index_name, "1", "3"],
        "pick=2&name=Bo%27s%20%E4%BA%BA%20%24HOME": ["label", index_name, "2", "Bo's 人 $HOME"],
        "face=bo/0.jpg&face=bo/2.jpg": ["people", "split", index_name, "2", "bo/0.jpg", "bo/2.jpg"],
        "face=bo/1.jpg&name=Al": ["people", "split", index_name, "2", "bo/1.jpg", "--name", "Al"],
        "face=bo/1.jpg&face=cy/1.jpg": [],
        "pick=2": [],
    }.items():
        document = rendered(other, address)
        text = COMMAND.findall(document)[0].replace("&amp;", "&").replace("&gt;", ">").replace("&lt;", "<")
        said = subprocess.run(["bash", "-c", f"printf '%s\\n' {text}"], capture_output=True, text=True, check=True)
        assert said.stdout.splitlines() == (["cosface", "index", *want] if want else [""]), address


def test_names_never_become_markup(tmp_path: Path) -> None:
    attack = "<img src=x onerror=document.title='gone'>"
    names = [
        attack,
        "</script><script>document.title='gone'</script>",
        "{{ 7*7 }}",
        '人脸 & "co"',
        "\u202egnp",
        "a\nb",
        "\udcff",
    ]
    made = people({"ann": len(names)}, root=tmp_path)
    listed = [(replace(found, source=f"{name}.jpg"), vector) for name, (found, vector) in zip(names, made, strict=True)]
    root = index(tmp_path / "i", [*listed, *people({"bo": 3}, root=tmp_path)])
    cluster(ClusterConfig(index=root))
    label(root, "1", attack)
    label(root, "2", names[1])
    page = tmp_path / "p.html"
    document = drawn(root, page)
    text = page.read_text("utf-8")
    assert attack not in text and "</script><script>doc" not in text
    assert "<title>i: people</title>" in document and len(faces(document)) == 10
    assert not re.search(r"<img src=.?x", document.replace(attack, ""))
    assert "{{ 7*7 }}.jpg" in document and "a\\u{a}b.jpg" in document and "\\u{202e}gnp.jpg" in document


def test_of_a_photo_only_the_face_is_shown(tmp_path: Path) -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    image[100:200, 200:280] = (250, 30, 30)
    (tmp_path / "a.jpg").write_bytes(pictures.encode_jpeg(image))
    of_photo = replace(row("x", 0, tmp_path), source="a.jpg", size=1, box=(200.0, 100.0, 280.0, 200.0))
    for found, size in ((of_photo, (77, 96)), (replace(of_photo, size=0), (96, 72))):
        picture = people_page.thumbnail(found)
        assert picture is not None
        with Image.open(io.BytesIO(base64.b64decode(picture))) as small:
            assert small.size == size
            red = (np.asarray(small.convert("RGB"))[..., 0] > 128).mean()
        assert red == pytest.approx(1 / 1.6**2 if found.size else 8000 / 120_000, rel=0.06)
    outside = replace(of_photo, box=(900.0, 100.0, 980.0, 200.0))
    assert (
        people_page.thumbnail(outside) is not None
        and people_page.thumbnail(replace(of_photo, source="none.jpg")) is None
    )


class Many:
    """An index of photos that are all one file."""

    def __init__(self, root: Path, count: int) -> None:
        self.root = root
        self.header = SimpleNamespace(model="dlib", model_id="dlib-01", flip="none")
        self._row = row("x", 0, root)
        self.count = count

    def row(self, number: int) -> FaceRow:
        return replace(self._row, source="one.jpg", face=number + 1)


def written(tmp_path: Path, sizes: list[int], single: int = 0) -> Path:
    """A page of groups of these sizes."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    (tmp_path / "one.jpg").write_bytes(pictures.encode_jpeg(noise))
    of = np.concatenate([np.repeat(np.arange(len(sizes)), sizes), len(sizes) + np.arange(single)])
    sums = np.random.default_rng(1).normal(size=(len(sizes) + single, 8)).astype(np.float32)
    counts = np.bincount(of)
    cosine = np.linspace(0.93, 1, len(of))
    cosine[::50] = 0.9  # below the threshold: doubtful
    groups = Groups(group_of=of, cosine=cosine, other_cosine=np.full(len(of), -1.0), sums=sums, counts=counts)
    persons = [Person(number + 1, None, False, ("x",)) for number in range(len(sizes))]
    person_of = [persons[number] if number < len(sizes) else None for number in of.tolist()]
    grouped = GroupedFaces(groups=groups, people=People(), person_of=person_of, min_cos=0.922)
    page = tmp_path / "many.html"
    people_page.write_people_page(page, Many(tmp_path, len(of)), grouped)  # type: ignore[arg-type]
    return page


def test_ten_thousand_faces(tmp_path: Path) -> None:
    page = written(tmp_path, [25] * 396, single=100)
    assert page.stat().st_size < 10_000 * 6500, "noise is the worst that a picture can be"
    document = rendered(page)
    assert "396 of 396 groups" in document and len(heads(document)) == 397
    assert 0 < document.count("data:image/webp") < 1000, "only what is near is drawn"
    assert len(heads(rendered(page, "sort=doubtful&q=one"))) == 397


def test_more_than_a_page_holds_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people_page, "MAX_FACES", 100)
    monkeypatch.setattr(people_page, "MAX_OF_GROUP", 40)
    document = rendered(written(tmp_path, [70, 45, 20, 15], single=90))
    assert heads(document) == ["Group 1", "Group 2", "Group 3", "In no group"]
    assert "35 faces are left out: the page shows at most 40 of each group" in document
    assert "the 1 smallest groups are left out; 60 faces in no group are left out." in document


def test_many_faces_of_one_group_are_shown_when_asked_for(tmp_path: Path) -> None:
    document = rendered(written(tmp_path, [150, 3]))
    assert ">show 90 more<" in document and len(faces(document)) == 60


def test_nobody(tmp_path: Path) -> None:
    root = index(tmp_path / "i", [])
    assert ">No group matches.<" in drawn(root, tmp_path / "p.html")
    alone = index(tmp_path / "j", people({"ann": 2}, root=tmp_path))
    assert heads(drawn(alone, tmp_path / "q.html")) == ["Group 1"]
