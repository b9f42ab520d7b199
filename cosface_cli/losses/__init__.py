"""Losses: heads that are trained with the network. A new one is a file here and a row in LOSSES."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    import torch


class Loss(Protocol):
    """A head with its loss, a torch module built as Loss(embedding_size, identities, **settings).

    DEFAULTS: the settings it takes, with their values; EQUATION and SOURCE: what it computes, and whose it is, in one
    line each. SHARDABLE: whether it is also a Classifier, whose columns may lie in several processes. PAIRS: whether
    it compares the crops of a batch with each other, and so needs several of one identity in it. MARGIN_COS: the
    setting that is a margin in cosine, which Wang 2018 Eq. 7 bounds, or None.
    weight: (C, D) parameter, one row an identity, or (C, K, D) with K centres each; None without a classifier.

    What a loss remembers between steps (an annealed lambda, running statistics, drawn margins) lies in its buffers:
    state_dict holds all that a run goes on from. Only in training mode does a step change them. Logits and loss are
    never of lower precision than float32, also under autocast.
    Raises CosfaceError when it is built with a setting out of its range.
    """

    DEFAULTS: ClassVar[Mapping[str, float]]
    EQUATION: ClassVar[str]
    SOURCE: ClassVar[str]
    SHARDABLE: ClassVar[bool]
    PAIRS: ClassVar[bool]
    MARGIN_COS: ClassVar[str | None]
    weight: torch.nn.Parameter | None

    def __init__(self, embedding_size: int, identities: int, **settings: float) -> None: ...

    def __call__(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean loss () of embeddings (B, D) float with labels (B,) int64 in 0..C-1."""
        ...

    def scores(self, embeddings: torch.Tensor) -> torch.Tensor | None:
        """The logits (B, C) that decide the identity: without the margin. None without a classifier."""
        ...

    def own_cosines(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor | None:
        """The cosine (B,) of each embedding with its own identity's weight, its nearest centre where there are
        several. None without a classifier."""
        ...

    def measures(self) -> Mapping[str, float]:
        """What is worth a column in the log: lambda, t and the like, by name."""
        ...


class Classifier(Loss, Protocol):
    """A loss over logits that can be built from any part of the columns, so that identities can be spread over
    processes: of n heads with C' identities each, logits = concatenated margined(...), and
    loss = cross entropy over all of them + penalty(...), once. Its parameters have a row an identity, (C, ...), its
    buffers are scalars ().

    The heads of a shared loss are given the same rows of one batch in the same order, each exactly once a step, and
    the same buffers to begin with: then these stay equal.
    """

    def similarities(self, embeddings: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Cosines, or inner products where lengths count, (B, C') of embeddings (B, D) with this head's class
        weights; with rows (C',) int64 only with those."""
        ...

    def margined(
        self, similarities: torch.Tensor, own: torch.Tensor, labels: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor:
        """The logits (B, C') to train on, of similarities (B, C').

        own: (B,) similarity of each row with its own identity, wherever its column lies; a gradient of it is needed
        only where it lies here. labels: (B,) int64 column of that identity in 0..C'-1, or -1 where it is not among
        these; lengths: (B,) of the embeddings before normalisation.
        """
        ...

    def penalty(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """What is added () to the mean cross entropy of embeddings (B, D): 0 for most."""
        ...


def _row(name: str, target: str, summary: str) -> Row:
    return Row(name, f"cosface_cli.losses.{target}", summary)


LOSSES: Table[type[Loss]] = Table(
    "loss",
    _row("cosface", "cosface:CosFace", "large margin cosine loss, Wang 2018"),
    _row("nsl", "nsl:NSL", "normalised softmax loss, Wang 2018"),
    _row("softmax", "softmax:Softmax", "softmax cross-entropy with bias"),
    _row("cosface-unnormalised", "cosface_unnormalised:CosFaceUnnormalised", "CosFace with |x| for s, Wang 2018"),
    _row("l-softmax", "l_softmax:LSoftmax", "multiplied angle between unnormalised vectors, Liu 2016"),
    _row("sphereface", "sphereface:SphereFace", "A-Softmax: multiplied angle, Liu 2017"),
    _row("sphereface-norm", "sphereface_norm:SphereFaceNorm", "A-Softmax with normalised features, Wang 2018"),
    _row("arcface", "arcface:ArcFace", "margin added to the angle, Deng 2019"),
    _row("combined", "combined:Combined", "the margins of SphereFace, ArcFace and CosFace in one, Deng 2019"),
    _row("subcenter-arcface", "subcenter_arcface:SubcenterArcFace", "ArcFace with several centres, Deng 2020"),
    _row("curricularface", "curricularface:CurricularFace", "hard ones weigh more as training goes on, Huang 2020"),
    _row("magface", "magface:MagFace", "margin that grows with the embedding's length, Meng 2021"),
    _row("adaface", "adaface:AdaFace", "margin by quality, read off the length, Kim 2022"),
    _row("elasticface", "elasticface:ElasticFace", "margin in cosine drawn for each crop, Boutros 2022"),
    _row("center", "center:Center", "softmax, and near to the identity's centre, Wen 2016"),
    _row("contrastive", "contrastive:Contrastive", "softmax, and pairs near or apart, Sun 2014"),
    _row("triplet", "triplet:Triplet", "semi-hard triplets on the unit sphere, Schroff 2015"),
)
