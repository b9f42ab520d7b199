"""--device as people write it; GPUs are pretended, by what torch says of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
import torch

from cosface_cli.engines.embedders.open_embedder import fallback, open_embedder
from cosface_cli.engines.runtime import devices as module
from cosface_cli.engines.runtime import onnx_session
from cosface_cli.engines.runtime.devices import CPU, device_given_out, devices, on_gpu, require, wait_briefly
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, Outcome, ignore


def pretend(monkeypatch: pytest.MonkeyPatch, gpus: int, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


def see_driver(monkeypatch: pytest.MonkeyPatch, there: bool, folder: Path) -> None:
    monkeypatch.setattr(module, "_DRIVERS", (str(folder if there else folder / "none"),))
    monkeypatch.setattr(sys, "platform", "linux")


def test_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    pretend(monkeypatch, 2, mps=True)
    see_driver(monkeypatch, True, tmp_path)
    for word, want in {
        "cpu": CPU,
        "cpu:0,1": ("cpu:0", "cpu:1"),
        "cuda": ("cuda:0", "cuda:1"),
        "cuda:1": ("cuda:1",),
        "cuda:1,0": ("cuda:1", "cuda:0"),
        "mps": ("mps",),
        "auto": ("cuda:0", "cuda:1"),
    }.items():
        assert devices(word, ignore) == want, word
    assert [on_gpu(word) for word in ("cpu", "cpu:0", "cuda:0", "mps")] == [False, False, True, True]


@pytest.mark.parametrize("word", ("cuda:", "cuda:a", "cuda:0,0", "cuda:00,0", "cuda:-1", "cuda:0,", "mps:1", "auto:0"))
def test_words_that_name_nothing(word: str, monkeypatch: pytest.MonkeyPatch):
    pretend(monkeypatch, 2, mps=True)
    with pytest.raises(CosfaceError, match="does not name devices; write it as cuda, cuda:0 or cuda:0,1"):
        devices(word, ignore)


def test_what_is_not_there_is_an_error_when_asked_for(monkeypatch: pytest.MonkeyPatch):
    pretend(monkeypatch, 0)
    for word in ("cuda", "cuda:0", "mps"):
        with pytest.raises(CosfaceError, match=r"torch finds no device .* on this machine; --device auto"):
            devices(word, ignore)
    with pytest.raises(CosfaceError, match="no device is called 'cudo'; did you mean 'cuda'"):
        devices("cudo", ignore)
    require("cpu")
    pretend(monkeypatch, 2)
    with pytest.raises(CosfaceError, match="no such GPU; it finds cuda:0, cuda:1"):
        devices("cuda:1,2", ignore)


def test_auto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    told: list[Outcome] = []
    see_driver(monkeypatch, False, tmp_path)
    assert devices("auto", told.append) == CPU and told == []
    see_driver(monkeypatch, True, tmp_path)
    pretend(monkeypatch, 0)
    assert devices("auto", told.append) == CPU
    assert told == [Note("this machine has a GPU, but this torch cannot use it: running on the CPU")]
    pretend(monkeypatch, 0, mps=True)
    assert devices("auto", told.append) == ("mps",) and len(told) == 1


def test_without_a_gpu_in_sight_no_torch_is_loaded():
    code = (
        "import sys; from cosface_cli.engines.runtime import devices as module\n"
        "module._DRIVERS = (); sys.platform = 'linux'\n"
        "assert module.devices('auto', print) == module.devices('cpu', print) == ('cpu',)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_cluster_gives_its_gpus_out():
    assert [device_given_out(word) for word in ("auto", "cpu", "cuda")] == ["cpu", "cpu", "cuda:0"]
    for word in ("cuda:0", "cuda:0,1", "cpu:0,1", "mps"):
        with pytest.raises(CosfaceError, match="names devices of one machine; with --engine ray give cuda or cpu"):
            device_given_out(word)


def test_a_graph_that_cannot_use_the_gpu_falls_back_with_a_note(monkeypatch: pytest.MonkeyPatch):
    assert fallback("dlib", "cuda:0") is None and fallback("runs/mine", "mps") is None
    assert fallback("dlib-int8", "cpu") is None and fallback("a.onnx", "cpu:0") is None
    assert (
        fallback("dlib-int8", "cuda:0") == "dlib-int8 is made for CPUs and runs on the CPU; on a GPU use another model"
    )
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert fallback("a.onnx", "cuda:1") == "a.onnx: this onnxruntime has no provider for cuda, it runs on the CPU"
    assert open_embedder("dlib-int8", "cuda:0").batch == 16
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    assert fallback("a.onnx", "cuda:1") is None
    assert fallback("a.onnx", "mps") == "a.onnx: this onnxruntime has no provider for mps, it runs on the CPU"


def test_an_onnx_file_on_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The provider is asked for with its number and without TF32; where it does not start, that is an error."""
    asked: list[object] = []
    started = ["CUDAExecutionProvider", "CPUExecutionProvider"]

    class Session:
        def __init__(self, path: str, options: object, providers: list[object]) -> None:
            asked.extend(providers)

        def get_providers(self) -> list[str]:
            return started

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: started)
    (tmp_path / "a.onnx").touch()
    onnx_session.open_session(tmp_path / "a.onnx", device="cuda:1")
    assert asked == [("CUDAExecutionProvider", {"device_id": "1", "use_tf32": "0"}), "CPUExecutionProvider"]
    asked.clear()
    onnx_session.open_session(tmp_path / "a.onnx", device="mps")
    assert asked == ["CPUExecutionProvider"]
    started = ["CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(CosfaceError, match="for GPUs, but finds no CUDA or cuDNN that it can load"):
        onnx_session.open_session(tmp_path / "a.onnx", device="cuda:0")


@pytest.mark.parametrize("spec", ("dlib-int8", "a.onnx"))
def test_a_graph_has_its_own_precision(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("a.onnx").touch()
    with pytest.raises(CosfaceError, match="is an ONNX graph, whose precision is fixed; leave --precision out"):
        open_embedder(spec, "cpu", "bf16")


@pytest.mark.parametrize(
    ("before", "want"),
    (({}, "10000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "PASSIVE"}, None)),
)
def test_threads_wait_briefly_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, before: dict[str, str], want: str | None
):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "environ", dict(os.environ))  # what is set here goes with the test
    wait_briefly()
    assert os.environ.get("GOMP_SPINCOUNT") == want
