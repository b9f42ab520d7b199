"""What can be known before the first step: the bounds of s and m, and what the data leaves out."""

from __future__ import annotations

import numpy as np

from cosface_cli.errors import CosfaceError
from cosface_cli.losses import LOSSES
from cosface_cli.maths.bounds import loss_at_right_angles, margin_upper_bound, scale_lower_bound
from cosface_cli.outcomes import Note, Tell
from cosface_cli.train.data import Dropped, LabelledCrops
from cosface_cli.train.settings import Settings

_PROBABILITY = 0.9  # of a class centre's own identity: with less, the loss cannot fall far


def check_margin(settings: Settings, identities: int) -> None:
    """Refuse a margin that the class weights have no room for. Raises CosfaceError with the bound."""
    m = _margin_cos(settings)
    bound = margin_upper_bound(identities, settings.embedding_size)
    beyond_simplex = identities > settings.embedding_size + 1  # there the bound itself is out of reach
    if m > bound or (beyond_simplex and m == bound):
        raise CosfaceError(
            f"the margin {m:g} is above {bound:.3g}, the most that {identities} identities in "
            f"{settings.embedding_size} dimensions leave room for (Wang 2018 Eq. 7)",
            mend="lower --m; the paper's is 0.35",
        )


def _margin_cos(settings: Settings) -> float:
    """The margin in cosine, 0 for a loss without."""
    name: str | None = LOSSES.load(settings.loss).MARGIN_COS
    return settings.head[name] if name else 0.0


def _check_scale(settings: Settings, identities: int, tell: Tell) -> None:
    """Warn of a scale with which not even a class centre is classified surely."""
    s = settings.head.get("s")
    bound = scale_lower_bound(identities, _PROBABILITY)
    if s is not None and s < bound:
        tell(
            Note(
                f"warning: s {s:g} is below {bound:.4g}, which {identities} identities need for a probability of "
                f"{_PROBABILITY:g} (Wang 2018 Eq. 6): the loss cannot fall far"
            )
        )


def describe(data: LabelledCrops, dropped: Dropped, settings: Settings, source: str, tell: Tell) -> None:
    """Say what is trained on, what was left out and why, and of whom there are too few pictures."""
    head = settings.head
    begin = loss_at_right_angles(len(data.identities), head.get("s", 0.0), _margin_cos(settings))
    counts = f"{len(data.crops)} crops of {len(data.identities)} identities"
    tell(Note(f"{source}: {counts}; at cosines of 0 the loss is {begin:.1f}"))
    if dropped.loose:
        tell(Note(f"left out {dropped.loose} crops that lie outside of identity folders"))
    if dropped.identities:
        tell(
            Note(
                f"left out {dropped.identities} identities with fewer than {settings.min_images} crops "
                f"(--min-images), {dropped.images} crops in all"
            )
        )
    _check_scale(settings, len(data.identities), tell)
    single = int((np.bincount(data.labels) < 2).sum())
    if single:
        tell(
            Note(
                f"warning: {single} identities have one crop only, and a margin needs two to pull together: "
                "--min-images 2 leaves them out"
            )
        )
    if data.batch_size < settings.batch:
        tell(Note(f"fewer crops than --batch {settings.batch}: each step takes all {data.batch_size}"))
    ragged = len(data.crops) - data.steps * data.batch_size
    if ragged:
        tell(Note(f"each epoch leaves out {ragged} crops that do not fill a batch, others each time"))
