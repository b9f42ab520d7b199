"""Devices that run networks: from the value of --device to a torch device for each worker.

Plain `cpu` is ONNX Runtime, in any number of workers; torch is loaded only where the machine has a GPU. `cpu:0,1` is
two workers that run torch on the CPU, as `cuda:0,1` is two workers that run it on GPUs.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from cosface_cli.artifacts.model_identity import PRECISIONS as PRECISIONS
from cosface_cli.artifacts.model_identity import Precision as Precision
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.registry import suggest

if TYPE_CHECKING:
    import torch

KINDS = ("auto", "cpu", "cuda", "mps")
CPU = ("cpu",)
_DRIVERS = ("/proc/driver/nvidia/version", "/dev/kfd", "/dev/dxg")  # NVIDIA's, AMD's, Windows' for its guest


def devices(word: str, emit: OnOutcome) -> tuple[str, ...]:
    """The devices of this machine that auto, cpu, cuda, cuda:0,1 or mps stands for; cuda: all GPUs that torch finds.

    auto takes the GPUs if there are any. It emits a note where the machine has a GPU that torch cannot use. Raises
    CosfaceError for another word, and for a device that does not exist.
    """
    kind, numbers = _parsed(word)
    if kind == "auto":
        return _best(emit)
    if kind == "cpu":
        return tuple(f"cpu:{number}" for number in numbers) or CPU
    require(kind)
    if kind == "mps":
        return ("mps",)
    count = _gpu_count()
    if numbers and max(numbers) >= count:
        names = ", ".join(f"cuda:{number}" for number in range(count))
        raise CosfaceError(f"--device {word}: torch finds no such GPU", hint=f"it finds {names}")
    return tuple(f"cuda:{number}" for number in numbers or range(count))


def device_given_out(word: str) -> str:
    """The device of each worker where a cluster assigns GPUs. A worker then sees only its own."""
    kind, numbers = _parsed(word)
    if kind == "mps" or numbers:
        raise CosfaceError(f"--device {word} names devices of one machine", hint="with --engine ray give cuda or cpu")
    return "cuda:0" if kind == "cuda" else "cpu"


def is_available(kind: str) -> bool:
    """Whether torch can use cpu, cuda or mps on this machine."""
    import torch

    return {"cpu": True, "cuda": _gpu_count() > 0, "mps": torch.backends.mps.is_available()}[kind]


def require(device: str) -> None:
    """Raises CosfaceError where torch cannot use a device: cpu, cuda or mps, with or without a number."""
    kind = device.partition(":")[0]
    if not is_available(kind):
        raise CosfaceError(f"torch finds no device {kind!r} on this machine", hint="--device auto uses what it finds")


def autocast_type(precision: str) -> torch.dtype | None:
    """The type that autocast computes a network in; None for float32 throughout."""
    import torch

    return {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


def on_gpu(device: str) -> bool:
    """Whether it is a GPU."""
    return not device.startswith("cpu")


def _parsed(word: str) -> tuple[str, tuple[int, ...]]:
    kind, colon, rest = word.partition(":")
    if kind not in KINDS:
        raise CosfaceError(f"no device is called {word!r}", hint=suggest(kind, list(KINDS)))
    numbers = rest.split(",") if colon else []
    whole = all(number.isascii() and number.isdigit() for number in numbers)
    if not whole or (numbers and kind in ("auto", "mps")) or len({*map(int, numbers)}) < len(numbers):
        raise CosfaceError(f"--device {word!r} does not name devices", hint="write it as cuda, cuda:0 or cuda:0,1")
    return kind, tuple(map(int, numbers))


def _best(emit: OnOutcome) -> tuple[str, ...]:
    if sys.platform != "darwin" and not any(Path(driver).exists() for driver in _DRIVERS):
        return CPU
    if count := _gpu_count():
        return tuple(f"cuda:{number}" for number in range(count))
    if is_available("mps"):
        return ("mps",)
    emit(Note("this machine has a GPU, but this torch cannot use it: running on the CPU"))
    return CPU


def _gpu_count() -> int:
    import torch

    with warnings.catch_warnings():  # about an old driver: our own note says enough
        warnings.simplefilter("ignore")
        return torch.cuda.device_count() if torch.cuda.is_available() else 0


def wait_briefly() -> None:
    """Make torch's CPU threads spin only briefly before they sleep. Call it before torch is loaded.

    Long spinning makes training beside other work four times slower; sleeping at once makes it a third slower alone.
    A user's OMP_WAIT_POLICY or GOMP_SPINCOUNT takes precedence.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
