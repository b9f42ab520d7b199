"""InsightFace's .bin sets (lfw, cfp_fp, agedb_30): a pickle of two lists, images and whether each pair is one person.

It is never unpickled. Its opcodes are parsed by the standard library's disassembler, which runs nothing, and only those
that lists, bytes and truth values are made of are followed; any other, whatever it would call, refuses the file. Images
stay in the file: what is kept is where they lie.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from cosface_cli.errors import CosfaceError, PhotoError

# where the content begins behind an opcode with bytes or text in it
_HEADS = {
    "SHORT_BINBYTES": 2,
    "BINBYTES": 5,
    "BINBYTES8": 9,
    "SHORT_BINSTRING": 2,
    "BINSTRING": 5,
    "BINUNICODE": 5,
    "SHORT_BINUNICODE": 2,
    "BINUNICODE8": 9,
}
# how Python 3 writes bytes in old protocols: text in latin-1, encoded by a call that is only recognised here
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
    """Where its bytes begin."""
    size: int
    """How many bytes it has."""
    text: bool = False
    """Whether the bytes are stored as text: UTF-8 of one character for each byte."""

    def read(self) -> bytes:
        """The image's own bytes. Raises PhotoError."""
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
        raise PhotoError("truncated", "this image has changed", str(self), "run the same command again")

    def status(self) -> tuple[int, int]:
        """Bytes, and nanoseconds of the last change. Raises OSError."""
        status = self.path.stat()
        return self.size, status.st_mtime_ns

    def __str__(self) -> str:
        return f"{self.path}[{self.number}]"


@dataclass(frozen=True, slots=True)
class FaceBin:
    """The content of a .bin file."""

    images: tuple[BinImage, ...]
    """Two for each pair, one after the other."""
    same: tuple[bool, ...]
    """Whether each pair is one person."""


def is_pickle(path: Path) -> bool:
    """Whether a file begins as a pickle of protocol 2 or later does, which all such sets are."""
    try:
        with path.open("rb") as file:
            head = file.read(2)
    except OSError:
        return False
    return len(head) == 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def read_face_bin(path: Path) -> FaceBin:
    """The images and pairs of a set. Raises CosfaceError for anything else, naming what it would have run."""
    try:
        with path.open("rb") as file:
            found = _Machine(path).run(_Bounded(file))
    except FileNotFoundError:
        raise CosfaceError("no such file", path, "give an InsightFace .bin set") from None
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from error
    if not (isinstance(found, tuple | list) and len(found) == 2 and all(isinstance(part, list) for part in found)):
        raise CosfaceError("not an InsightFace set: no two lists", path, _HINT)
    slices, same = found
    if not all(isinstance(item, _Slice) for item in slices) or not all(item in (0, 1) for item in same):
        raise CosfaceError("not an InsightFace set: no images, and a yes or no for each pair", path, _HINT)
    if len(slices) != 2 * len(same) or not same:
        raise CosfaceError(f"{len(slices)} images are not two for each of {len(same)} pairs", path, _HINT)
    images = tuple(BinImage(path, number, s.offset, s.size, s.text) for number, s in enumerate(slices))
    return FaceBin(images, tuple(bool(item) for item in same))


@dataclass(frozen=True, slots=True)
class _Slice:
    offset: int
    size: int
    text: bool = False


class _Bounded:
    """A file that is never asked for more bytes than it has: a declared size alone takes no memory."""

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
    """Follows the opcodes of lists, bytes and truth values, without calling anything."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, file: _Bounded) -> Any:
        """What the pickle stands for, images as slices of the file."""
        try:
            for opcode, argument, position in pickletools.genops(file):  # type: ignore[arg-type]
                if opcode.name == "STOP":
                    return self._stack.pop()
                if opcode.name in _HEADS:
                    text = "UNICODE" in opcode.name
                    start = (position or 0) + _HEADS[opcode.name]
                    self._stack.append(_Slice(start, file.tell() - start, text))
                elif (step := _STEPS.get(opcode.name)) is not None:
                    step(self, argument)
                else:
                    raise _Refused(f"{opcode.name} {argument}" if argument is not None else opcode.name)
        except _Refused as refused:
            words = f"holds more than lists of images: {str(refused)[:80]!r} was not run"
            raise CosfaceError(words, self._path, "do not open it with pickle; " + _HINT) from None
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeError) as error:
            raise CosfaceError(f"damaged, or no InsightFace set ({error})", self._path, _HINT) from None
        raise CosfaceError("damaged, or no InsightFace set (no end)", self._path, _HINT)

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def popped(self) -> list[Any]:
        """All above the last mark."""
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def append(self, _: Any) -> None:
        value = self._stack.pop()
        self._list().append(value)

    def appends(self, _: Any) -> None:
        values = self.popped()
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

    def call(self, _: Any) -> None:
        """Only of what Python 3 writes for bytes: text, and "latin1"."""
        arguments, function = self._stack.pop(), self._stack.pop()
        if function is not _Encode or not (isinstance(arguments, tuple) and len(arguments) == 2):
            raise _Refused("a call")
        text = arguments[0]
        if not isinstance(text, _Slice) or not text.text:
            raise _Refused("a call")
        self._stack.append(text)

    def _list(self) -> list[Any]:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise TypeError("no list to append to")
        return target


class _Refused(Exception):
    """An opcode that a set of faces does not need."""


class _Encode:
    """Stands for the call that Python 3 writes for bytes."""


_Step = Callable[[_Machine, Any], None]
_STEPS: dict[str, _Step] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": _Machine.mark,
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push(machine.popped()),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.popped())),
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
