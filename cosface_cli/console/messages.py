"""Messages for people on standard error."""

from __future__ import annotations

import sys


def say(text: str, quiet: bool = False) -> None:
    """Print a message on standard error."""
    if not quiet:
        print(printable(text), file=sys.stderr, flush=True)  # noqa: T201


def printable(text: str) -> str:
    """The text with escapes for what a terminal or a log cannot show: control characters and undecoded bytes."""
    return "".join(
        c if c.isprintable() or c == " " else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def without_markup(text: str) -> str:
    """The text escaped for rich, which reads [text] in brackets as markup."""
    return text.replace("[", r"\[")
