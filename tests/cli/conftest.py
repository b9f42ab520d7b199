"""Photos for tests of the command line: people cut out of a packaged group image, and a face in each file format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def face(people: Path) -> Image.Image:
    """One person's photo, upright RGB."""
    with Image.open(people / "person5" / "middle.jpg") as image:
        return image.convert("RGB").resize((image.width * 2, image.height * 2), Image.Resampling.BICUBIC)


@pytest.fixture
def odd(tmp_path: Path, face: Image.Image) -> Path:
    """The same face in every kind of file that should work."""
    root = tmp_path / "odd"
    root.mkdir()
    face.save(root / "rgb.png")
    face.save(root / "jpeg.jpg", quality=95)
    face.convert("L").save(root / "grey.png")
    face.convert("LA").save(root / "grey_alpha.png")
    face.convert("RGBA").save(root / "rgba.png")
    face.convert("P", palette=Image.Palette.ADAPTIVE).save(root / "palette.png")
    face.convert("CMYK").save(root / "cmyk.jpg", quality=95)
    deep = np.asarray(face.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(root / "deep.png")
    face.save(root / "webp.webp", quality=95)
    face.save(root / "tiff.tiff")
    face.save(root / "bmp.bmp")
    face.save(root / "gif.gif")
    face.save(root / "no_ending", "JPEG", quality=95)
    face.save(root / "UPPER.JPG", quality=95)
    return root


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, people: Path, model_cache: Path) -> Path:
    """aligned/, faces.h5 and people.index of the packaged people; not to be written to."""
    from cosface_cli.align import AlignConfig
    from cosface_cli.align.stage import align
    from cosface_cli.embed import EmbedConfig
    from cosface_cli.embed.stage import embed
    from cosface_cli.index import BuildConfig
    from cosface_cli.index.stage import build

    root = tmp_path_factory.mktemp("made")
    align(AlignConfig(raw=str(people), aligned=root / "aligned", workers=1))
    embed(EmbedConfig(source=str(root / "aligned"), store=root / "faces.h5", workers=1))
    report = build(BuildConfig(stores=(root / "faces.h5",), index=root / "people.index"))
    assert (report.rows, report.doubles) == (20, 0)
    return root
