"""An incremental run over a source: order, chunks, a source that disappears, photos that were removed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cosface_cli.engines.runners import RUNNERS
from cosface_cli.engines.runners.incremental import IncrementalRun, is_unchanged, rejected
from cosface_cli.engines.sources import File
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Done, Note, Outcome, Rejected, Skipped


class Doubling:
    """A worker that doubles each number of a list; it records the lengths of the lists."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def open(self) -> Callable[[list[int]], list[int]]:
        def work(numbers: list[int]) -> list[int]:
            self.lengths.append(len(numbers))
            return [2 * number for number in numbers]

        return work


@pytest.mark.parametrize(("count", "lengths"), [(0, []), (1, [1]), (7, [3, 3, 1]), (9, [3, 3, 3])])
def test_results_come_in_order_in_lists_of_one_size(count: int, lengths: list[int], tmp_path: Path):
    run, worker = IncrementalRun(str(tmp_path), [].append), Doubling()
    pending = ((f"photo {number}", number) for number in range(count))
    results = run.results(RUNNERS.load("local"), worker, pending, workers=1, chunk=3, most=9)
    assert list(results) == [(f"photo {number}", 2 * number) for number in range(count)]
    assert worker.lengths == lengths


def test_pending_photos_are_read_only_as_results_are_taken(tmp_path: Path):
    drawn: list[int] = []

    def pending() -> Iterator[tuple[str, int]]:
        for number in range(1000):
            drawn.append(number)
            yield str(number), number

    run = IncrementalRun(str(tmp_path), [].append)
    results = run.results(RUNNERS.load("local"), Doubling(), pending(), workers=1, chunk=4, most=250)
    assert next(results) == ("0", 0) and len(drawn) == 4


def test_a_worker_that_loses_a_result_is_an_error(tmp_path: Path):
    class Losing:
        def open(self) -> Callable[[list[int]], list[int]]:
            return lambda numbers: numbers[1:]

    run = IncrementalRun(str(tmp_path), [].append)
    with pytest.raises(ValueError, match="zip"):
        list(run.results(RUNNERS.load("local"), Losing(), iter([("a", 1), ("b", 2)]), workers=1, chunk=2, most=1))


def test_an_error_while_the_source_is_gone_says_so(tmp_path: Path):
    source = tmp_path / "photos"
    source.mkdir()
    run = IncrementalRun(str(source), [].append)
    with pytest.raises(CosfaceError, match="the disk is full"), run.explaining_errors():
        raise CosfaceError("the disk is full")
    shutil.rmtree(source)
    with pytest.raises(CosfaceError, match="run the same command again") as error, run.explaining_errors():
        raise CosfaceError("the disk is full")
    assert error.value.path == str(source)


def test_photos_that_the_source_no_longer_has(tmp_path: Path):
    outcomes: list[Outcome] = []
    run = IncrementalRun(str(tmp_path), outcomes.append)
    assert run.removed_photos(["a", "b", "c"], ["c", "d", "a"]) == ["b"]
    run.note_removed(tmp_path / "faces.h5", 0, "rows", pruned=False)
    assert outcomes == []
    run.note_removed(tmp_path / "faces.h5", 2, "rows", pruned=False)
    run.note_removed(tmp_path / "faces.h5", 2, "rows", pruned=True)
    start = f"{tmp_path / 'faces.h5'}: 2 of its photos are no longer in {tmp_path}"
    assert outcomes == [Note(f"{start}; --prune removes their rows"), Note(f"{start}; their rows were removed")]
    gone = IncrementalRun(str(tmp_path / "x"), outcomes.append)
    assert gone.removed_photos(["a"], []) == ["a"], "a pattern or a list is not a place that can disappear"


def test_outcomes_are_counted_and_emitted(tmp_path: Path):
    outcomes: list[Outcome] = []
    run = IncrementalRun(str(tmp_path), outcomes.append)
    given = (Done("a"), Skipped("b"), rejected("c", "no_face", "c: no face", ("source", "crop", "status", "reason")))
    run.count(*given)
    assert outcomes == list(given)
    assert (run.tally.done, run.tally.skipped, run.tally.rejected) == (1, 1, 1)
    assert isinstance(given[2], Rejected)
    assert given[2].row == {"source": "c", "crop": None, "status": "rejected", "reason": "no_face"}
    assert list(given[2].row) == ["source", "crop", "status", "reason"]


def test_unchanged_is_size_and_time(tmp_path: Path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    size, time = File(path).status()
    assert is_unchanged(File(path), size, time)
    assert not is_unchanged(File(path), size + 1, time) and not is_unchanged(File(path), size, time + 1)
    path.unlink()
    assert not is_unchanged(File(path), size, time)
