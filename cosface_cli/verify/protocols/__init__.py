"""Protocols of the field. A new one is a file here, a row in PROTOCOLS, and one test against cases worked by hand.

A protocol is a function from a ProtocolConfig and a callback to a Scored: which pairs there are and how each side
becomes an embedding. What the scores mean, the figures say alike for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Protocol as Contract

from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    from cosface_cli.outcomes import OnOutcome
    from cosface_cli.verify import ProtocolConfig
    from cosface_cli.verify.figures.pair_scores import Scored


class Protocol(Contract):
    """Raises CosfaceError for lists and files that do not fit."""

    def __call__(self, config: ProtocolConfig, emit: OnOutcome) -> Scored: ...


PROTOCOLS: Table[Protocol] = Table(
    "protocol",
    Row("lfw", "cosface_cli.verify.protocols.lfw:score", "LFW: pairs.txt with any folds, View 1, people.txt"),
    Row("ytf", "cosface_cli.verify.protocols.ytf:score", "YouTube Faces: splits.txt, clips pooled over their frames"),
    Row(
        "csv", "cosface_cli.verify.protocols.pair_list:score", "any list of pairs with named columns: CSV, TSV, NDJSON"
    ),
    Row("bin", "cosface_cli.verify.protocols.insightface_bin:score", "InsightFace's lfw.bin, cfp_fp.bin, agedb_30.bin"),
    Row(
        "megaface", "cosface_cli.verify.protocols.megaface:score", "MegaFace: rank 1 among distractors, TAR at FAR 1e-6"
    ),
    Row("ijb", "cosface_cli.verify.protocols.ijb:score", "IJB-B and IJB-C: templates, 1:1, and 1:N in the open set"),
    Row("all-pairs", "cosface_cli.verify.protocols.all_pairs:score", "every pair of a store's faces, by identity"),
)

# fields of ProtocolConfig that only these protocols read
OPTIONS = {
    "dev_pairs": ("lfw",),
    "pooling": ("ytf",),
    "frames": ("ytf",),
    "distractors": ("megaface",),
    "noises": ("megaface",),
    "features": ("megaface",),
    "weight_by_detector": ("ijb",),
    "groups": ("csv",),
    "allow_missing": ("lfw", "ytf", "csv", "bin", "ijb", "all-pairs"),
    "missing": ("lfw", "ytf", "csv", "bin", "ijb"),
    "scores": ("lfw", "ytf", "csv", "bin", "ijb"),
}
