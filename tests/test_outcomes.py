"""Outcomes to exit codes and to one line of summary."""

from __future__ import annotations

import pytest

from cosface_cli.outcomes import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NO,
    EXIT_PART,
    Done,
    Note,
    Outcome,
    Planned,
    Rejected,
    Skipped,
    Tally,
    ignore,
)

D, S, N, P = Done("a"), Skipped("a"), Note("n"), Planned(9)
R, T = Rejected("a", "no_face", "a: no face"), Rejected("b", "too_small", "b: small")


def test_the_codes_are_grep_s():
    assert (EXIT_DONE, EXIT_NO, EXIT_FAILED, EXIT_PART, EXIT_INTERRUPTED) == (0, 1, 2, 3, 130)


@pytest.mark.parametrize(
    ("outcomes", "code", "words"),
    (
        ((), 1, "nothing to do"),
        ((P, N), 1, "nothing to do"),
        ((D,), 0, "1 done"),
        ((S, S), 0, "0 done, 2 unchanged"),
        ((P, D, N, S), 0, "1 done, 1 unchanged"),
        ((R,), 2, "0 done, 1 rejected (no_face 1)"),
        ((R, T, R), 2, "0 done, 3 rejected (no_face 2, too_small 1)"),
        ((D, R), 3, "1 done, 1 rejected (no_face 1)"),
        ((S, T), 3, "0 done, 1 unchanged, 1 rejected (too_small 1)"),
        ((T, D, R, S), 3, "1 done, 1 unchanged, 2 rejected (no_face 1, too_small 1)"),
    ),
    ids=range(10),
)
def test_exit_code_and_summary(outcomes: tuple[Outcome, ...], code: int, words: str):
    tally = Tally()
    for outcome in outcomes:
        tally.add(outcome)
    assert tally.exit_code == code and str(tally) == words
    assert tally.total == sum(isinstance(outcome, (Done, Skipped, Rejected)) for outcome in outcomes)


def test_tallies_do_not_share_their_counts():
    one, two = Tally(), Tally()
    one.add(R)
    assert two.reasons == {} and two.total == 0


def test_outcomes_cannot_be_changed():
    with pytest.raises(AttributeError):
        D.source = "b"  # type: ignore[misc]
    assert ignore(R) is None
