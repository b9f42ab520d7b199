"""cosface verify --protocol: a model by one of the field's protocols."""

from __future__ import annotations

import time

import numpy as np

from cosface_cli.artifacts.lists.pair_table import write_pair_rows
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, OnOutcome, ignore
from cosface_cli.registry import one_of
from cosface_cli.verify import ProtocolConfig, ProtocolReport, flag_of
from cosface_cli.verify.figures.pair_scores import Scored, rows_of
from cosface_cli.verify.figures.rates_by_far import report_of
from cosface_cli.verify.protocols import OPTIONS, PROTOCOLS
from cosface_cli.verify.protocols.guessing import guess

MISSING = ("error", "skip")


def verify_protocol(config: ProtocolConfig, emit: OnOutcome = ignore) -> ProtocolReport:
    """The numbers of a protocol. Raises CosfaceError for sources and lists that do not fit it."""
    return run_protocol(config, emit)[1]


def run_protocol(config: ProtocolConfig, emit: OnOutcome = ignore) -> tuple[Scored, ProtocolReport]:
    """The numbers of a protocol, with the pairs that they are over."""
    started = time.monotonic()
    one_of(config.missing, MISSING, "--missing")
    name = config.protocol
    if name is None:
        name, why = guess(config)
        emit(Note(f"protocol {name}: {why}; --protocol names another"))
    PROTOCOLS.row(name)
    for option in sorted(config.changed() & OPTIONS.keys()):
        if name not in OPTIONS[option]:
            problem = f"{flag_of(option)} goes with --protocol {' or '.join(OPTIONS[option])}"
            raise CosfaceError(problem, hint="leave it out")
    if config.allow_missing and config.missing == "skip":
        raise CosfaceError(
            "--missing skip allows any number of them: --allow-missing changes nothing", hint="leave it out"
        )
    if config.scores is not None and not config.scores.parent.is_dir():
        raise CosfaceError("no such folder to write to", config.scores.parent, "make it first")
    scored: Scored = PROTOCOLS.load(name)(config, emit)
    pairs = scored.pairs
    if config.scores is not None:
        if pairs is None:
            raise CosfaceError(f"{name} keeps no pairs to write", hint="leave --scores out")
        write_pair_rows(config.scores, rows_of(pairs))
    if pairs is not None:
        known = pairs.scores[pairs.known]
        if known.size > 1 and np.ptp(known) == 0:
            emit(Note("all pairs score the same: the network tells no face from another"))
        if config.missing == "skip" and known.size < pairs.scores.size:
            emit(Note(f"{pairs.scores.size - known.size} of {pairs.scores.size} pairs have no score and are left out"))
    return scored, report_of(name, scored, config, time.monotonic() - started)
