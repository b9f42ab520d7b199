"""An append-only file of records that survives kill -9: complete records are read back, a torn end is cut off.

A record is a length (8 bytes, little-endian), a CRC-32 (4 bytes) and the content. The content is never empty: an empty
record would look like the zeros that a power cut can leave. The first record is the purpose of the journal. A journal
with another purpose is emptied, unless `fits` accepts it.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from cosface_cli.artifacts.files.atomic import write_errors

_HEAD = struct.Struct("<QI")


class Journal:
    """A journal open for appending. The caller must hold the lock of the file that the journal is for.

    fits: called with the purpose of a journal that has records for another purpose; returns whether they are kept; may
    raise.
    """

    def __init__(self, path: Path, purpose: bytes, fits: Callable[[bytes], bool] = lambda other: False) -> None:
        self.path = path
        with write_errors(path), ExitStack() as on_error:
            self._file = on_error.enter_context(path.open("a+b", buffering=0))
            self._end = self._whole_part()
            first_two = [content for _, content in islice(self, 2)]
            if first_two[:1] != [purpose] and not (len(first_two) == 2 and fits(first_two[0])):
                self._end = 0
            self._file.truncate(self._end)
            if self._end == 0:
                self.append(purpose)
            on_error.pop_all()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Offset and content of every record, the purpose first."""
        at = 0
        while at < self._end:
            content = self.read(at)
            yield at, content
            at += _HEAD.size + len(content)

    def read(self, offset: int) -> bytes:
        """The content of the record at an offset."""
        self._file.seek(offset)
        length, _ = _HEAD.unpack(self._file.read(_HEAD.size))
        return self._file.read(length)

    def append(self, content: bytes) -> int:
        """Write a record through to the operating system, whole or not at all. Returns its offset."""
        offset = self._end
        rest = memoryview(_HEAD.pack(len(content), zlib.crc32(content)) + content)
        with write_errors(self.path):
            try:
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                self._file.truncate(offset)
                raise
        self._end += _HEAD.size + len(content)
        return offset

    def close(self) -> None:
        self._file.close()

    def remove(self) -> None:
        """Close and delete the journal, after its records were written elsewhere."""
        self.close()
        self.path.unlink()

    def _whole_part(self) -> int:
        """The length of the part before the first record that is torn or does not match its checksum."""
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        at = 0
        while at + _HEAD.size <= size:
            length, checksum = _HEAD.unpack(self._file.read(_HEAD.size))
            if not 0 < length <= size - at - _HEAD.size or zlib.crc32(self._file.read(length)) != checksum:
                break
            at += _HEAD.size + length
        return at
