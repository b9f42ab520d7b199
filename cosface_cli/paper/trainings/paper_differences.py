"""The differences of an experiment from the paper's, as sentences that a figure lists."""

from __future__ import annotations

from cosface_cli.paper import published_values as published
from cosface_cli.paper.trainings.pair_accuracy import VerificationPairs
from cosface_cli.paper.trainings.training_runs import TrainedNetwork


def training_differences(network: TrainedNetwork) -> list[str]:
    """Differences from the paper's training on CASIA-WebFace (section 4.1)."""
    settings, sentences = network.settings, []
    if (network.identities, network.images) != (published.IDENTITIES, published.IMAGES):
        sentences.append(
            f"data: {network.identities:,} identities, {network.images:,} crops; the paper's CASIA-WebFace has "
            f"{published.IDENTITIES:,} and {published.IMAGES:,}"
        )
    if settings["backbone"] != published.BACKBONE:
        sentences.append(f"network: {settings['backbone']}; the paper's is {published.BACKBONE}")
    if (network.steps, settings["batch"]) != (published.STEPS, published.BATCH):
        sentences.append(
            f"length: {network.steps:,} steps of {settings['batch']} crops; the paper's {published.STEPS:,} of "
            f"{published.BATCH}"
        )
    return sentences + scale_differences(network)


def scale_differences(network: TrainedNetwork) -> list[str]:
    """Differences in the scale s of the cosines."""
    s = network.settings["head"].get("s")
    return [] if s in (None, published.S) else [f"scale: s {s:g}; the paper's {published.S:g}"]


def margin_differences(m: float) -> list[str]:
    """Differences in LMCL's margin."""
    return [] if m == published.M else [f"margin: m {m:g}; the paper's {published.M:g}"]


def pair_differences(test: VerificationPairs) -> list[str]:
    """Differences from LFW's View 2, and from the paper's way to embed photos."""
    sentences = []
    if (test.pairs, test.folds) != (published.PAIRS, published.FOLDS):
        sentences.append(
            f"test: {test.pairs:,} pairs in {test.folds} folds of {test.file}; "
            f"the paper's {published.PAIRS:,} in {published.FOLDS}"
        )
    if test.flip != published.FLIP:
        sentences.append(f"test: flip {test.flip}; the paper's {published.FLIP}")
    return sentences
