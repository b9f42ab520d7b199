"""Where the values of options come from besides flags: cosface.toml < environment < flags."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosface_cli.errors import CosfaceError
from cosface_cli.registry import suggest

FILE = "cosface.toml"


def from_file(file: Path, commands: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults in a cosface.toml: [align], [index.search] and so on, keys as the long flags.

    commands: by name, the flags it takes, or the same again for a group. Raises CosfaceError for a section or a key
    that is not known, with its near miss.
    """
    import tomllib

    try:
        found = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise CosfaceError("no such file", file, "unset COSFACE_CONFIG or make the file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CosfaceError(f"not valid TOML ({error})", file) from None
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", file, "move it away") from None
    return _checked(found, commands, file, "")


def _checked(found: Mapping[str, Any], known: Mapping[str, Any], file: Path, section: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in found.items():
        name = key.replace("_", "-")
        if name not in known:
            where = f"[{section}] " if section else ""
            raise CosfaceError(f"unknown key {where}{key}", file, suggest(name, sorted(known)))
        inner = known[name]
        if isinstance(inner, Mapping):
            if not isinstance(value, Mapping):
                raise CosfaceError(f"{key} is a section, not a value", file, f"write [{key}] above its keys")
            out[name] = _checked(value, inner, file, f"{section}.{name}" if section else name)
        else:
            out[inner] = value
    return out


def path() -> Path:
    """The file of $COSFACE_CONFIG, else cosface.toml of the working folder."""
    return Path(os.environ.get("COSFACE_CONFIG") or FILE)
