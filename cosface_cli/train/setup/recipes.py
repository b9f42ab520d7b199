"""Recipes: settings that belong together, as TOML files in recipes/."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosface_cli.artifacts.crops.manifest import PICTURES
from cosface_cli.errors import CosfaceError
from cosface_cli.options import Parameter, convert, parameters
from cosface_cli.registry import suggest
from cosface_cli.train import Setting, TrainConfig
from cosface_cli.train.crops.records import packed_files

_FOLDER = Path(__file__).parent / "recipes"
_PACKED_CROP = 8 << 10  # bytes, of a JPEG of 112 x 112
_SMALL, _LARGE = 100_000, 2_000_000  # images, between CASIA's half million and the paper's five

FIELDS: Mapping[str, Parameter] = {
    parameter.name: parameter for parameter in parameters(TrainConfig) if isinstance(parameter.option, Setting)
}
"""The fields of TrainConfig that a recipe may set."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The content of a recipe file."""

    name: str
    """Name of the file, without its ending."""
    summary: str
    """What it is for."""
    values: Mapping[str, Any]
    """Values of fields of TrainConfig."""


NO_RECIPE = Recipe("", "", {})


def recipe_names() -> list[str]:
    """The names of the recipes in the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def all_recipes() -> Iterator[Recipe]:
    """The recipes in the package."""
    return (read_recipe(_FOLDER / f"{name}.toml") for name in recipe_names())


def load_recipe(name: str) -> Recipe:
    """A recipe by its name, or by the path of a TOML file. Raises CosfaceError with the closest name."""
    if name in recipe_names():
        return read_recipe(_FOLDER / f"{name}.toml")
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return read_recipe(path)
    raise CosfaceError(f"no recipe is called {name!r}", hint=suggest(name, recipe_names()))


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file. Raises CosfaceError for an unknown field, with the closest one, and for a value of a wrong
    type or out of range."""
    import tomllib

    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CosfaceError("no such recipe", path, f"the package has {', '.join(recipe_names())}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CosfaceError(f"not valid TOML ({error})", path) from None
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from None
    summary = content.pop("summary", "")
    values = {}
    try:
        for key, value in content.items():
            name = key.replace("-", "_")
            if name not in FIELDS:
                raise CosfaceError(f"unknown field {key}", hint=suggest(name, ["summary", *FIELDS]))
            values[name] = convert(FIELDS[name], value)
        TrainConfig(**values)  # checks the ranges
    except CosfaceError as error:
        raise CosfaceError(error.problem, path, error.hint) from None
    return Recipe(path.stem, str(summary), values)


def count_crops(aligned: Path | tuple[Path, ...]) -> tuple[int, str]:
    """The number of crops, by the folder's listing or the size of packed files; and a text with it."""
    sources = (aligned,) if isinstance(aligned, Path) else aligned
    packed = packed_files(sources)
    if packed:
        images = sum(path.stat().st_size for path in packed) // _PACKED_CROP
        return images, f"about {images:,} crops by the size of the files"
    identities = images = 0
    for folder in (source for source in sources if source.is_dir()):
        for person in (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
            count = sum(1 for path in person.rglob("*") if path.suffix.lower() in PICTURES)
            identities, images = identities + (count > 0), images + count
    return images, f"{identities:,} people and {images:,} crops"


def recipe_by_size(images: int) -> tuple[Recipe, str]:
    """The recipe for this number of crops, and the reason."""
    if images < _SMALL:
        return load_recipe("small"), f"fewer than {_SMALL:,}"
    if images < _LARGE:
        return load_recipe("cosface-casia"), f"{_SMALL:,} or more, as CASIA-WebFace has half a million"
    return load_recipe("cosface-large"), f"{_LARGE:,} or more, as the paper's own five million"
