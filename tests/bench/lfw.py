"""LFW from photo files to accuracy: ours beside insightface and face_recognition, CPU seconds on one core each.

usage: python -m tests.bench.lfw LFW_IMAGES PAIRS [--detector SCRFD.onnx --embedder MODEL.onnx] [--pairs-of N]

Ours runs the command line with the built-in default. insightface runs its FaceAnalysis on the two ONNX files (it ships
none), face_recognition its own models; both take the face nearest to the middle, and a photo without a face counts as
"different". A peer that is not installed, or has no models, is left out and said. --pairs-of N: only every Nth pair of
each kind, for a quick look. Peers: pip install insightface; pip install --no-deps face_recognition dlib-bin.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.lists.lfw_lists import PairList, read_pairs
from cosface_cli.maths.roc import fold_accuracy
from tests.bench.measure import timed


def middle(boxes: np.ndarray, shape: tuple[int, ...]) -> int:
    """The box nearest to the middle of a picture; boxes (N, 4) left, top, right, bottom."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2 - np.array([shape[1], shape[0]]) / 2
    return int(np.hypot(*centers.T).argmin())


def insightface_vectors(paths: list[Path], detector: str, embedder: str) -> list[np.ndarray | None]:
    import cv2
    import onnxruntime
    from insightface.app import FaceAnalysis

    with tempfile.TemporaryDirectory() as root:
        pack = Path(root) / "models" / "local"
        pack.mkdir(parents=True)
        for path in (detector, embedder):
            (pack / Path(path).name).symlink_to(Path(path).resolve())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        app = FaceAnalysis("local", root=root, providers=["CPUExecutionProvider"], sess_options=options)
        app.prepare(ctx_id=-1, det_size=(640, 640))
        out: list[np.ndarray | None] = []
        for path in paths:
            image = cv2.imread(str(path))
            faces = app.get(image)
            boxes = np.array([face.bbox for face in faces])
            out.append(faces[middle(boxes, image.shape)].normed_embedding if faces else None)
    return out


def face_recognition_vectors(paths: list[Path]) -> list[np.ndarray | None]:
    import face_recognition

    out: list[np.ndarray | None] = []
    for path in paths:
        image = face_recognition.load_image_file(path)
        found = face_recognition.face_locations(image)
        boxes = np.array([[left, top, right, bottom] for top, right, bottom, left in found])
        chosen = [found[middle(boxes, image.shape)]] if found else []
        vectors = face_recognition.face_encodings(image, chosen)
        out.append(vectors[0] if vectors else None)
    return out


def peer(name: str, root: Path, listed: PairList, detector: str, embedder: str) -> None:
    """Run a peer over the photos of the pairs and print its scores as JSON: runs in a process of its own."""
    names = list(dict.fromkeys(n for pair in listed.pairs for n in (pair.left, pair.right)))
    paths = [root / f"{n}.jpg" for n in names]
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)  # the peers print on stdout
    found = insightface_vectors(paths, detector, embedder) if name == "insightface" else face_recognition_vectors(paths)
    sys.stdout.flush()
    os.dup2(real, 1)
    vectors = dict(zip(names, found, strict=True))
    scores = []
    for pair in listed.pairs:
        a, b = vectors[pair.left], vectors[pair.right]
        # face_recognition compares by distance: its negative is the score
        near = (lambda a, b: float(a @ b)) if name == "insightface" else (lambda a, b: -float(np.linalg.norm(a - b)))
        scores.append(None if a is None or b is None else near(a, b))
    print(json.dumps({"scores": scores, "faceless": sum(v is None for v in found), "photos": len(names)}))


def thinned(path: Path, every: int, target: Path) -> Path:
    """A list with every Nth pair of each kind and fold."""
    listed = read_pairs(path)
    half = listed.per_fold // 2
    keep = len(range(0, half, every))
    body = [line for line in path.read_text().splitlines()[1:] if line.strip()]
    lines = [f"{listed.folds}\t{keep}"]
    for start in range(0, len(body), half):
        lines += body[start : start + half : every]
    target.write_text("\n".join(lines) + "\n")
    return target


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("images", type=Path)
    words.add_argument("pairs", type=Path)
    words.add_argument("--detector", default="")
    words.add_argument("--embedder", default="")
    words.add_argument("--pairs-of", type=int, default=1)
    words.add_argument("--peer", default="")
    given = words.parse_args()
    if given.peer:
        peer(given.peer, given.images, read_pairs(given.pairs), given.detector, given.embedder)
        return
    with tempfile.TemporaryDirectory() as folder:
        pairs = thinned(given.pairs, given.pairs_of, Path(folder) / "pairs.txt") if given.pairs_of > 1 else given.pairs
        listed = read_pairs(pairs)
        print(f"{len(listed.pairs)} pairs in {listed.folds} folds, one core each, CPU seconds with start and imports")
        command = [sys.executable, "-m", "cosface_cli", "verify", str(given.images), "--pairs", str(pairs)]
        ours = timed([*command, "--workers", "1", "--format", "json", "--quiet"])
        row = json.loads(ours.text)
        print(
            f"{'cosface':18}{row['accuracy']:.4f} +- {row['accuracy_se']:.4f}  {ours.cpu:7.1f} s  {ours.peak:5.0f} MB"
            f"  {len(row['missing'])} photos without a face"
        )
        for name in ("insightface", "face_recognition"):
            if find_spec(name) is None or (name == "insightface" and not (given.detector and given.embedder)):
                print(f"{name:18}left out: not installed, or no models given")
                continue
            again = [sys.executable, "-m", "tests.bench.lfw", str(given.images), str(pairs), "--peer", name]
            theirs = timed([*again, "--detector", given.detector, "--embedder", given.embedder])
            found = json.loads(theirs.text)
            lost = np.array([score is None for score in found["scores"]])
            same = np.array([pair.same for pair in listed.pairs])
            # without a face: called different, so right for the impostors
            scores = np.array([-9.0 if score is None else score for score in found["scores"]])
            folds = fold_accuracy(scores, same, [pair.fold for pair in listed.pairs])
            print(
                f"{name:18}{folds.mean:.4f} +- {folds.standard_error:.4f}  {theirs.cpu:7.1f} s  {theirs.peak:5.0f} MB"
                f"  {found['faceless']} without a face, {lost.sum()} pairs  ours / theirs = {ours.cpu / theirs.cpu:.3f}"
            )


if __name__ == "__main__":
    main()
