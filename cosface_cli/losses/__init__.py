"""Losses and their class weights, trained with the network. A new one is a file here and a row in LOSSES."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    import torch


class Loss(Protocol):
    """A loss and its parameters, such as class weights: a torch module built as
    Loss(embedding_size, identities, **settings).

    State between steps (an annealed lambda, running statistics, drawn margins) is in buffers, so that state_dict has
    everything that a resumed run needs. A step changes them in training mode only. Logits and loss have at least
    float32 precision, also under autocast. The constructor raises CosfaceError for a setting out of its range.
    """

    DEFAULTS: ClassVar[Mapping[str, float]]
    """The settings of the loss, with their default values."""
    EQUATION: ClassVar[str]
    """The equation of the loss, in one line."""
    SOURCE: ClassVar[str]
    """Author and year, where it was published, and which equations: one line."""
    SHARDABLE: ClassVar[bool]
    """Whether it is also a Classifier, whose columns can be distributed over several processes."""
    PAIRS: ClassVar[bool]
    """Whether it compares the crops of a batch with each other, so that a batch needs several of one identity."""
    MARGIN_COS: ClassVar[str | None]
    """The setting that is a margin in cosine, which Wang 2018 Eq. 7 bounds. None if there is none."""

    def __init__(self, embedding_size: int, identities: int, **settings: float) -> None: ...

    @staticmethod
    def margin_at_right_angle(**options: float) -> float | None:
        """The amount that the loss, with these options, subtracts from the target cosine when that cosine is 0. The
        first loss of a training is estimated from it. None if that is not possible."""
        ...

    @property
    def weight(self) -> torch.nn.Parameter | None:
        """Class weights (C, D), one row for each identity; (C, K, D) with K centres each; None without a classifier."""
        ...

    def __call__(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean loss () of embeddings (B, D) float with labels (B,) int64 in 0..C-1."""
        ...

    def scores(self, embeddings: torch.Tensor) -> torch.Tensor | None:
        """The logits (B, C) without the margin; the highest one decides the identity. None without a classifier."""
        ...

    def target_cosines(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor | None:
        """The cosine (B,) between each embedding and the weight of its label, the nearest centre where there are
        several. None without a classifier."""
        ...

    def measures(self) -> Mapping[str, float]:
        """Values to log after each epoch, such as lambda and t, by name."""
        ...


class Classifier(Loss, Protocol):
    """A loss over logits whose columns can be split into shards, one for each process.

    With n shards of C' identities each: logits = the shards' margined(...), concatenated;
    loss = cross entropy over all of them + penalty(...) of one shard. Its parameters have one row for each identity,
    (C, ...); its buffers are scalars ().

    All shards get the same rows of a batch in the same order, each exactly once a step, and start with the same
    buffers, so that their buffers stay equal.
    """

    def similarities(self, embeddings: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Cosines, or inner products for losses that do not normalise, (B, C') of embeddings (B, D) and this shard's
        class weights. rows: (C',) int64, only these rows of the weights."""
        ...

    def margined(
        self, similarities: torch.Tensor, target: torch.Tensor, labels: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor:
        """The logits (B, C') to train on, of similarities (B, C').

        target: (B,) similarity of each row and its label's column, in whatever shard that column is; a gradient is
        needed only in that shard. labels: (B,) int64 column of the label in 0..C'-1, or -1 if it is in another shard.
        lengths: (B,) lengths of the embeddings before normalisation.
        """
        ...

    def penalty(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """A term () added to the mean cross entropy of embeddings (B, D); 0 for most losses."""
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
