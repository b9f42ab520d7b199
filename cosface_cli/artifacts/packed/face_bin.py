"""InsightFace's .bin sets (lfw, cfp_fp, agedb_30): a pickle of two lists, images and whether each pair is one person.

The file is never unpickled. The standard library's disassembler parses its opcodes without running anything. Only the
opcodes for lists, bytes and booleans are interpreted; a file with any other opcode is refused. The images stay in the
file: only their positions are read.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from cosface_cli.errors import CosfaceError, PhotoError

# bytes from the start of an opcode to its content, for opcodes that contain bytes or text
_CONTENT_OFFSETS = {
    "SHORT_BINBYTES": 2,
    "BINBYTES": 5,
    "BINBYTES8": 9,
    "SHORT_BINSTRING": 2,
    "BINSTRING": 5,
    "BINUNICODE": 5,
    "SHORT_BINUNICODE": 2,
    "BINUNICODE8": 9,
}
# in old protocols Python 3 writes bytes as latin-1 text and a call of this function; the call is recognised, not made
_ENCODE = "_codecs encode"
_HINT = "get the set from its authors"


@dataclass(frozen=True, slots=True)
class BinImage:
    """An image inside a .bin file."""

    path: Path
    """The .bin file."""
    number: int
    """Position among the images, from 0."""
    offset: int
    """Position of its first byte in the file."""
    size: int
    """Number of its bytes in the file."""
    text: bool = False
    """Whether the bytes are stored as text: UTF-8 of one character for each byte."""

    def read(self) -> bytes:
        """The content of the image file. Raises PhotoError."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.size)
            if len(content) == self.size:
                return content.decode("utf-8").encode("latin-1") if self.text else content
        except OSError as error:
            raise PhotoError("unreadable", f"cannot be read ({error.strerror})", str(self)) from error
        except UnicodeError:
            pass
        raise PhotoError("truncated", "the file has changed", str(self), "run the same command again")

    def status(self) -> tuple[int, int]:
        """Size in bytes, and modification time in nanoseconds. Raises OSError."""
        status = self.path.stat()
        return self.size, status.st_mtime_ns

    def __str__(self) -> str:
        return f"{self.path}[{self.number}]"


@dataclass(frozen=True, slots=True)
class FaceBin:
    """The content of a .bin file."""

    images: tuple[BinImage, ...]
    """Two for each pair, in the order of the pairs."""
    same: tuple[bool, ...]
    """Whether each pair is one person."""


def is_pickle(path: Path) -> bool:
    """Whether a file begins like a pickle of protocol 2 or later, as all such sets do."""
    try:
        with path.open("rb") as file:
            head = file.read(2)
    except OSError:
        return False
    return len(head) == 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def read_face_bin(path: Path) -> FaceBin:
    """The images and pairs of a set. Raises CosfaceError for any other file, naming the code that it would run."""
    try:
        with path.open("rb") as file:
            content = _Machine(path).run(_Bounded(file))
    except FileNotFoundError:
        raise CosfaceError("no such file", path, "give an InsightFace .bin set") from None
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from error
    if not (isinstance(content, tuple | list) and len(content) == 2 and all(isinstance(x, list) for x in content)):
        raise CosfaceError("not an InsightFace set: expected two lists", path, _HINT)
    slices, same = content
    if not all(isinstance(item, _Slice) for item in slices) or not all(item in (0, 1) for item in same):
        raise CosfaceError("not an InsightFace set: expected a list of images and a list of booleans", path, _HINT)
    if len(slices) != 2 * len(same) or not same:
        problem = f"an InsightFace set has two images for each pair, got {len(slices)} images and {len(same)} pairs"
        raise CosfaceError(problem, path, _HINT)
    images = tuple(BinImage(path, number, s.offset, s.size, s.text) for number, s in enumerate(slices))
    return FaceBin(images, tuple(bool(item) for item in same))


@dataclass(frozen=True, slots=True)
class _Slice:
    offset: int
    size: int
    text: bool = False


class _Bounded:
    """A file from which at most the remaining bytes are requested, so that a false declared size allocates nothing."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = file.seek(0, 2)
        file.seek(0)

    def read(self, size: int) -> bytes:
        return self._file.read(min(max(size, 0), self._end - self._file.tell()))

    def readline(self) -> bytes:
        return self._file.readline(1 << 16)

    def tell(self) -> int:
        return self._file.tell()


class _Machine:
    """Interprets the opcodes for lists, bytes and booleans, without calling anything."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def run(self, file: _Bounded) -> object:
        """The object that the pickle describes, with images as slices of the file."""
        try:
            for opcode, argument, position in pickletools.genops(file):  # type: ignore[arg-type]
                if opcode.name == "STOP":
                    return self._stack.pop()
                if opcode.name in _CONTENT_OFFSETS:
                    text = "UNICODE" in opcode.name
                    start = (position or 0) + _CONTENT_OFFSETS[opcode.name]
                    self._stack.append(_Slice(start, file.tell() - start, text))
                elif (step := _STEPS.get(opcode.name)) is not None:
                    step(self, argument)
                else:
                    raise _Refused(f"{opcode.name} {argument}" if argument is not None else opcode.name)
        except _Refused as refused:
            words = f"contains more than lists of images: {str(refused)[:80]!r} was not run"
            raise CosfaceError(words, self._path, "do not open it with pickle; " + _HINT) from None
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeError) as error:
            raise CosfaceError(f"damaged, or not an InsightFace set ({error})", self._path, _HINT) from None
        raise CosfaceError("damaged, or not an InsightFace set (it has no end)", self._path, _HINT)

    def push(self, value: object) -> None:
        self._stack.append(value)

    def mark(self, _: object) -> None:
        self._marks.append(len(self._stack))

    def pop_to_mark(self) -> list[object]:
        """Removes and returns the values above the last mark."""
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def append(self, _: object) -> None:
        value = self._stack.pop()
        self._list().append(value)

    def appends(self, _: object) -> None:
        values = self.pop_to_mark()
        self._list().extend(values)

    def tuple_of(self, count: int) -> None:
        if len(self._stack) < count:
            raise IndexError("too few values")
        values = tuple(self._stack[len(self._stack) - count :])
        del self._stack[len(self._stack) - count :]
        self._stack.append(values)

    def put(self, number: int) -> None:
        self._memo[number] = self._stack[-1]

    def name(self, argument: str) -> None:
        if argument != _ENCODE:
            raise _Refused(argument.replace(" ", "."))
        self._stack.append(_Encode)

    def call(self, _: object) -> None:
        """Accepts only the call that Python 3 writes for bytes, with a text and "latin1"; the text is the result."""
        arguments, function = self._stack.pop(), self._stack.pop()
        if function is not _Encode or not (isinstance(arguments, tuple) and len(arguments) == 2):
            raise _Refused("a call")
        text = arguments[0]
        if not isinstance(text, _Slice) or not text.text:
            raise _Refused("a call")
        self._stack.append(text)

    def _list(self) -> list[object]:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise TypeError("no list to append to")
        return target


class _Refused(Exception):
    """An opcode that a set of images does not need."""


class _Encode:
    """Represents the function that Python 3 calls for bytes."""


_Step = Callable[[_Machine, Any], None]
_STEPS: dict[str, _Step] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": _Machine.mark,
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push(machine.pop_to_mark()),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "INT": lambda machine, value: machine.push(value),
    "BININT": lambda machine, value: machine.push(value),
    "BININT1": lambda machine, value: machine.push(value),
    "BININT2": lambda machine, value: machine.push(value),
    "PUT": lambda machine, number: machine.put(number),
    "BINPUT": lambda machine, number: machine.put(number),
    "LONG_BINPUT": lambda machine, number: machine.put(number),
    "MEMOIZE": lambda machine, _: machine.put(len(machine._memo)),
    "GET": lambda machine, number: machine.push(machine._memo[number]),
    "BINGET": lambda machine, number: machine.push(machine._memo[number]),
    "LONG_BINGET": lambda machine, number: machine.push(machine._memo[number]),
    "GLOBAL": _Machine.name,
    "REDUCE": _Machine.call,
}
