"""The identity of the model that made a vector. Two embeddings can be compared only if their identities agree."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Literal, get_args

from cosface_cli.errors import ModelMismatch

Flip = Literal["none", "sum", "concat"]
FLIPS: tuple[Flip, ...] = get_args(Flip)
Precision = Literal["fp32", "fp16", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """A model, or several joined to one, and how it was applied.

    A field that is None is unknown and is not compared. An index does not record the precision, for example, so its
    rows may come from stores of several precisions: their vectors nearly agree.
    """

    name: str
    """Name for messages: dlib, or the name of a run folder or file. Not compared, because files can be renamed."""
    id: str
    """Hash of everything that decides the vectors: weights, preprocessing, score normalisation."""
    flip: Flip | None = None
    """Use of the mirrored crop's output: none (not computed), sum or concat."""
    template: str | None = None
    """Geometry of the crops that the model takes."""
    size: int | None = None
    """Dimension of an embedding."""
    precision: Precision | None = None
    """Number format that the network was computed in."""

    def differences(self, other: ModelIdentity) -> list[str]:
        """Names of the fields that differ."""
        pairs = ((field, getattr(self, field), getattr(other, field)) for field in _COMPARED)
        return [field for field, one, two in pairs if one is not None and two is not None and one != two]

    def require_same(
        self,
        other: ModelIdentity,
        path: str | PathLike[str] | None,
        hint: str = "use the same model and the same options for both",
    ) -> None:
        """Raises ModelMismatch if this identity, of the file at path, differs from the expected `other`."""
        fields = self.differences(other)
        if fields:
            raise ModelMismatch(f"made with {self._words(fields)}, expected {other._words(fields)}", path, hint)

    def _words(self, fields: list[str]) -> str:
        return f"{self.name} ({', '.join([self.id, *(f'{f} {getattr(self, f)}' for f in fields if f != 'id')])})"


_COMPARED = ("id", "flip", "template", "size", "precision")


def as_flip(text: str) -> Flip:
    """A flip that was read from a file. Raises ValueError for an unknown one."""
    if text not in FLIPS:
        raise ValueError(f"unknown flip {text!r}")
    return text


def as_precision(text: str) -> Precision:
    """A precision that was read from a file. Raises ValueError for an unknown one."""
    if text not in PRECISIONS:
        raise ValueError(f"unknown precision {text!r}")
    return text
