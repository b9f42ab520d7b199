"""One of several processes fails, or all do: one line says why, and nobody is left waiting."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import torch.distributed as dist

from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note
from cosface_cli.train import TrainConfig
from cosface_cli.train.ranks import Ranks

TWO = TrainConfig(processes=2, device="cpu")
TIMEOUT = 60.0


def fails(config: TrainConfig, ranks: Ranks, tell: Any) -> None:
    """The second process does as the configuration's name says; the first waits for it."""
    tell(Note(f"{ranks.rank} of {ranks.count}"))
    if not ranks.is_first:
        if config.name == "ours":
            raise CosfaceError("no more", Path("some") / "file", "mend it")
        if config.name == "bug":
            raise ZeroDivisionError("by nothing")
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()
