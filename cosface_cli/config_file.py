"""cosface.toml: values of options. A flag overrides an environment variable, and a variable overrides the file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosface_cli.errors import CosfaceError
from cosface_cli.registry import suggest

NAME = "cosface.toml"


def from_file(file: Path, commands: Mapping[str, Any]) -> dict[str, Any]:
    """The values in a cosface.toml: sections [align], [index.search] and so on, keys as the long flags.

    commands: by name, the flags of each command; of a group, the same for each of its commands. Raises CosfaceError for
    an unknown section or key, with the closest one.
    """
    import tomllib

    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise CosfaceError("no such file", file, "unset COSFACE_CONFIG or create the file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CosfaceError(f"not valid TOML ({error})", file) from None
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", file, "move it away") from None
    return _checked(content, commands, file, "")


def path() -> Path:
    """The file that $COSFACE_CONFIG names, else cosface.toml of the working folder."""
    return Path(os.environ.get("COSFACE_CONFIG") or NAME)


def _checked(content: Mapping[str, Any], known: Mapping[str, Any], file: Path, section: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = key.replace("_", "-")
        if name not in known:
            where = f"[{section}] " if section else ""
            raise CosfaceError(f"unknown key {where}{key}", file, suggest(name, sorted(known)))
        target = known[name]
        if isinstance(target, Mapping):
            if not isinstance(value, Mapping):
                raise CosfaceError(f"{key} is a section, not a value", file, f"write [{key}] above its keys")
            values[name] = _checked(value, target, file, f"{section}.{name}" if section else name)
        else:
            values[target] = value
    return values
