"""The journal, torn at every byte, flipped at every bit, and filled with a power cut's zeros."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from cosface_cli.artifacts.files.journal import Journal
from cosface_cli.errors import CosfaceError

RECORDS = [b"first", b"\0" * 20, b"the last one"]


def contents(journal: Journal) -> list[bytes]:
    return [content for _, content in journal]


def reopened(path: Path, purpose: bytes = b"purpose") -> list[bytes]:
    journal = Journal(path, purpose)
    found = contents(journal)
    journal.close()
    return found


def written(path: Path, records: list[bytes] = RECORDS) -> bytes:
    journal = Journal(path, b"purpose")
    for record in records:
        journal.append(record)
    journal.close()
    return path.read_bytes()


def test_the_format(tmp_path: Path):
    """Length and CRC-32, little-endian, then the content."""
    whole = written(tmp_path / "j")
    assert whole == b"".join(struct.pack("<QI", len(r), zlib.crc32(r)) + r for r in [b"purpose", *RECORDS])


def test_records_come_back_in_order_and_by_offset(tmp_path: Path):
    written(tmp_path / "j")
    journal = Journal(tmp_path / "j", b"purpose")
    assert contents(journal) == [b"purpose", *RECORDS]
    assert [journal.read(offset) for offset, _ in journal] == [b"purpose", *RECORDS]
    offset = journal.append(b"more")
    assert journal.read(offset) == b"more" and contents(journal)[-1] == b"more"
    journal.close()
    assert reopened(tmp_path / "j") == [b"purpose", *RECORDS, b"more"]


def test_torn_at_every_byte_of_the_last_record(tmp_path: Path):
    path = tmp_path / "j"
    whole = written(path)
    start = len(whole) - 12 - len(RECORDS[-1])
    for cut in range(start, len(whole)):
        path.write_bytes(whole[:cut])
        journal = Journal(path, b"purpose")
        assert contents(journal) == [b"purpose", *RECORDS[:-1]], cut
        journal.append(b"again")  # what comes after stands behind the whole part
        journal.close()
        assert reopened(path) == [b"purpose", *RECORDS[:-1], b"again"]


def test_a_flipped_bit_cuts_from_there(tmp_path: Path):
    path = tmp_path / "j"
    whole = written(path)
    starts = [0]
    for record in [b"purpose", *RECORDS]:
        starts.append(starts[-1] + 12 + len(record))
    for at in range(starts[1], len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << (at % 8)
        path.write_bytes(damaged)
        journal = Journal(path, b"purpose")
        record = max(n for n, start in enumerate(starts) if start <= at)
        assert contents(journal) == [b"purpose", *RECORDS][:record], at
        journal.close()


@pytest.mark.parametrize("zeros", (1, 11, 12, 13, 4096))
def test_zeros_that_a_power_cut_leaves_are_no_records(tmp_path: Path, zeros: int):
    path = tmp_path / "j"
    whole = written(path)
    path.write_bytes(whole + bytes(zeros))
    journal = Journal(path, b"purpose")
    assert contents(journal) == [b"purpose", *RECORDS]
    journal.close()
    assert path.read_bytes() == whole


def test_a_huge_length_is_not_believed(tmp_path: Path):
    path = tmp_path / "j"
    whole = written(path)
    path.write_bytes(whole + struct.pack("<QI", 1 << 62, 0) + b"x")
    assert reopened(path) == [b"purpose", *RECORDS]


def test_a_journal_of_another_purpose_is_begun_anew(tmp_path: Path):
    written(tmp_path / "j")
    journal = Journal(tmp_path / "j", b"another")
    assert contents(journal) == [b"another"]
    journal.close()
    (tmp_path / "j").write_bytes(b"no journal at all, but a longer text that somebody left there")
    assert reopened(tmp_path / "j") == [b"purpose"]


def test_what_another_purpose_left_is_asked_about(tmp_path: Path):
    asked: list[bytes] = []

    def fits(other: bytes) -> bool:
        asked.append(other)
        return True

    written(tmp_path / "j", [])
    Journal(tmp_path / "j", b"another", fits).close()
    assert asked == []  # there was nothing to lose
    whole = written(tmp_path / "k")
    journal = Journal(tmp_path / "k", b"another", fits)
    assert asked == [b"purpose"] and contents(journal)[1:] == RECORDS
    journal.close()
    with pytest.raises(ZeroDivisionError):
        Journal(tmp_path / "k", b"another", lambda other: 1 // 0 > 0)
    assert (tmp_path / "k").read_bytes() == whole


def test_remove_takes_it_away(tmp_path: Path):
    journal = Journal(tmp_path / "j", b"purpose")
    journal.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_its_place_is_one_line(tmp_path: Path):
    with pytest.raises(CosfaceError, match="a file is needed, but this is a folder"):
        Journal(tmp_path, b"purpose")


@pytest.mark.parametrize("size", (300, 5000, 9000, 30_000))
def test_a_full_disk_loses_nothing_that_was_told_written(small_disk: Path, size: int):
    path = small_disk / "j"
    journal = Journal(path, b"purpose")
    kept = []
    with pytest.raises(CosfaceError, match="the disk is full"):
        for number in range(250):
            content = bytes([number + 1]) * size
            journal.append(content)
            kept.append(content)
    assert 0 < len(kept) < 250
    assert contents(journal) == [b"purpose", *kept]
    assert journal.read(journal.append(b"small")) == b"small"  # there is room for that
    journal.close()  # and this raises nothing
    assert reopened(path) == [b"purpose", *kept, b"small"]


KILLED = """
import os, sys
from pathlib import Path
from cosface_cli.artifacts.files.journal import Journal
journal = Journal(Path(sys.argv[1]), b"purpose")
for number in range(5):
    journal.append(bytes([number]) * 3000)
os.kill(os.getpid(), 9)
"""


def test_what_was_appended_survives_kill_9(tmp_path: Path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "j")])
    assert reopened(tmp_path / "j") == [b"purpose", *(bytes([n]) * 3000 for n in range(5))]
