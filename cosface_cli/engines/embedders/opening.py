"""One word of the command line to an embedder: a name of the table, a run folder, weights, or an ONNX file."""

from __future__ import annotations

from pathlib import Path

from cosface_cli.engines.embedders import EMBEDDERS, Embedder
from cosface_cli.errors import CosfaceError
from cosface_cli.registry import suggest


def open_embedder(spec: str) -> Embedder:
    """The embedder that spec names.

    Raises CosfaceError for an unknown name (with the near miss), a missing file, or a file of another kind.
    """
    if spec in EMBEDDERS:
        embedder: Embedder = EMBEDDERS.load(spec)()
        return embedder
    path = Path(spec)
    if path.suffix == ".onnx" and path.exists():
        from cosface_cli.engines.embedders.onnx_file import open_onnx

        return open_onnx(path)
    if path.is_dir() or path.suffix == ".safetensors":
        from cosface_cli.engines.embedders.trained import open_trained

        return open_trained(path)
    if path.exists():
        raise CosfaceError("not weights", path, "give a run folder, a .safetensors or an .onnx file")
    raise CosfaceError(f"no model or file is called {spec!r}", mend=suggest(spec, EMBEDDERS.names) + " or give a path")
