"""The speed of training in an epoch."""

from __future__ import annotations

import time

from cosface_cli.train.crops.dataset import LabelledCrops
from cosface_cli.train.step.loop import TrainState


class Throughput:
    """Measures the time from its creation."""

    def __init__(self, state: TrainState, data: LabelledCrops) -> None:
        self.state, self.data = state, data
        self.step, self.waited, self.began = state.step, data.loader.waited, time.monotonic()

    def row(self) -> dict[str, float]:
        """images_per_second; wait: the share 0..1 of the time in which the network waited for crops."""
        seconds = time.monotonic() - self.began
        images = (self.state.step - self.step) * self.data.batch_size
        wait = (self.data.loader.waited - self.waited) / seconds
        return {"images_per_second": round(images / seconds, 1), "wait": round(wait, 4)}
