"""One photo with many, and the pairs of a list: embedded photos in, rows of output emitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Done, Note, OnOutcome, Planned, Rejected
from cosface_cli.verify.compare import ManyReport, Match
from cosface_cli.verify.compare.matching import Matcher
from cosface_cli.verify.compare.photo_warnings import warnings_of_face
from cosface_cli.verify.faces.source import EmbeddedPhoto


def compare_faces(left: EmbeddedPhoto, right: EmbeddedPhoto, matcher: Matcher, emit: OnOutcome) -> tuple[Match, ...]:
    """The matches of the faces of two photos, best first. Raises CosfaceError if a photo has no usable face."""
    require_face(left)
    require_face(right)
    matches = sorted(matcher.matches(left, right), key=_falling_cosine)
    for words in dict.fromkeys(warning.words for match in matches for warning in match.warnings):
        emit(Note(words))
    return tuple(matches)


def compare_with_many(
    photo: EmbeddedPhoto, others: Iterator[EmbeddedPhoto], count: int, matcher: Matcher, emit: OnOutcome
) -> ManyReport:
    """Compare a photo with each of `count` others. Rows are emitted at the end, best first."""
    require_face(photo)
    for warning in warnings_of_face(photo):
        emit(Note(warning.words))
    emit(Planned(count))
    all_matches: list[Match] = []
    rejected = same = 0
    for other in others:
        matches = list(matcher.matches(photo, other))
        if not other.has_face:
            rejected += 1
            emit(_rejected(other, matches[0]))
            continue
        all_matches += matches
        same += any(match.same for match in matches)
        for words in dict.fromkeys(w.words for match in matches for w in match.warnings if w.photo is None):
            emit(Note(words))
    for match in sorted(all_matches, key=_falling_cosine):
        emit(Done(match.right, (asdict(match),)))
    return ManyReport(count - rejected, same, rejected)


def compare_pairs(
    pairs: Sequence[tuple[str, str]], photos: Iterator[EmbeddedPhoto], matcher: Matcher, emit: OnOutcome
) -> ManyReport:
    """Compare each pair of a list, in order. photos: each photo of the list once, in any order."""
    uses = Counter(name for pair in pairs for name in pair)
    by_name: dict[str, EmbeddedPhoto] = {}
    rejected = same = 0
    for left, right in pairs:
        while left not in by_name or right not in by_name:
            photo = next(photos)
            by_name[photo.name] = photo
        both = by_name[left], by_name[right]
        matches = sorted(matcher.matches(*both), key=_falling_cosine)
        faceless = next((photo for photo in both if not photo.has_face), None)
        if faceless is not None:
            rejected += 1
            emit(_rejected(faceless, matches[0]))
        else:
            same += any(match.same for match in matches)
            emit(Done(f"{left} {right}", tuple(map(asdict, matches))))
        for name in (left, right):
            uses[name] -= 1
            if not uses[name]:  # no later pair uses it
                by_name.pop(name, None)
    return ManyReport(len(pairs) - rejected, same, rejected)


def require_face(photo: EmbeddedPhoto) -> None:
    """Raises CosfaceError for a photo without a usable face."""
    if not photo.has_face:
        raise CosfaceError(photo.vectors.words)


def _rejected(photo: EmbeddedPhoto, match: Match) -> Rejected:
    return Rejected(photo.name, match.reason or "no_face", photo.vectors.words, asdict(match))


def _falling_cosine(match: Match) -> float:
    return -2.0 if match.cos is None else -match.cos
