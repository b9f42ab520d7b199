"""Makes a small photo folder from the images in insightface's package: usage: quickstart_photos.py FOLDER.

One image shows six people. Each person is cut out with three margins, as FOLDER/personN; the whole image goes to
FOLDER/group. Four images of cloth masks without a face become rejects. This is enough to see every command work, but
too little to train a useful network.
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.engines.photos.limits import Limits
from cosface_cli.engines.photos.reader import Reader
from cosface_cli.maths.geometry import template

MARGINS = {"near": 0.6, "middle": 0.8, "far": 1.0}  # around the face's box, in its widths


def main(root: Path) -> None:
    spec = find_spec("insightface")
    assert spec is not None and spec.submodule_search_locations
    photos = Path(spec.submodule_search_locations[0]) / "data" / "images"
    for name, folder in (
        ("t1.jpg", "group"),
        ("Tom_Hanks_54745.png", "actor"),
        *((p.name, "masks") for p in photos.glob("mask_*")),
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / name, root / folder / name)
    reader = Reader(open_detector("mtcnn", 20), template("wide"), "all", Limits(min_face=80))
    picture = Image.open(photos / "t1.jpg")
    for number, face in enumerate(reader.read(photos / "t1.jpg").faces, 1):
        left, top, right, bottom = face.box
        folder = root / f"person{number}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, margin in MARGINS.items():
            around = margin * (right - left)
            cut = picture.crop((left - around, top - around, right + around, bottom + around))
            cut.save(folder / f"{name}.jpg", quality=92)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
