"""Recipes: settings that belong together, as TOML files in recipes/. What is asked for by name goes before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from cosface_cli.artifacts.crops.manifest import PICTURES
from cosface_cli.errors import CosfaceError
from cosface_cli.registry import suggest
from cosface_cli.train import TrainConfig
from cosface_cli.train.crops.records import packed_files

_FOLDER = Path(__file__).parent / "recipes"
_NOT_OF_A_RECIPE = {
    "aligned",
    "template",
    "out",
    "recipe",
    "seed",
    "device",
    "threads",
    "save_seconds",
    "resume",
    "processes",
    "loaders",
    "validate",
    "validate_root",
    "report",
}
FIELDS = tuple(f.name for f in fields(TrainConfig) if f.name not in _NOT_OF_A_RECIPE)

_PACKED_CROP = 8 << 10  # bytes, of a JPEG of 112 x 112
_SMALL, _LARGE = 100_000, 2_000_000  # images, between CASIA's half million and the paper's five

# what a recipe that is silent about a field means
SILENT: Mapping[str, Any] = {
    "loss": "cosface",
    "backbone": "mobilefacenet",
    "freeze": 0.0,
    "hold_out": 0.0,
    "blend": False,
    "sample_rate": 1.0,
    "epochs": 16,
    "batch": 64,
    "accumulate": 1,
    "optimizer": "sgd",
    "lr": 0.1,
    "head_lr": 1.0,
    "weight_decay": 5e-4,
    "clip": 0.0,
    "ema": 0.0,
    "precision": "fp32",
    "channels_last": True,
    "compile": False,
    "sync_bn": True,
    "min_images": 1,
    "patience": 0,
    "sampler": "shuffled",
    "flip": True,
    "augment": (),
}
# what an optimizer is given where it is asked for instead of the recipe's
_OF_OPTIMIZER: Mapping[str, Mapping[str, Any]] = {
    "sgd": {"lr": 0.1, "weight_decay": 5e-4},
    "adamw": {"lr": 1e-3, "weight_decay": 0.05},
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """name: of the file without its ending; summary: what it is for; values: of TrainConfig's fields."""

    name: str
    summary: str
    values: Mapping[str, Any]


def names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def listed() -> Iterator[Recipe]:
    """They themselves."""
    return (read(_FOLDER / f"{name}.toml") for name in names())


def named(name: str) -> Recipe:
    """A recipe by its name, or by the path of a TOML file. Raises CosfaceError with the near miss."""
    if name in names():
        return read(_FOLDER / f"{name}.toml")
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return read(path)
    raise CosfaceError(f"no recipe is called {name!r}", hint=suggest(name, names()))


def read(path: Path) -> Recipe:
    """The recipe in a file. Raises CosfaceError for unknown fields, with the near miss, and values of another kind."""
    import tomllib

    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CosfaceError("no such recipe", path, f"the package has {', '.join(names())}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CosfaceError(f"not valid TOML ({error})", path) from None
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from None
    summary = found.pop("summary", "")
    kinds = get_type_hints(TrainConfig)
    values = {}
    for key, value in found.items():
        name = key.replace("-", "_")
        if name not in FIELDS:
            raise CosfaceError(f"unknown field {key}", path, suggest(name, ["summary", *FIELDS]))
        values[name] = _as(value, kinds[name], key, path)
    return Recipe(path.stem, str(summary), values)


def _as(value: Any, kind: Any, key: str, path: Path) -> Any:
    (wanted,) = (arm for arm in get_args(kind) if arm is not NoneType)  # every one of FIELDS is KIND | None
    if wanted is float and type(value) in (int, float):
        return float(value)
    if isinstance(value, list) and get_args(wanted) and all(type(item) is get_args(wanted)[0] for item in value):
        return tuple(value)
    if isinstance(value, dict) and get_args(wanted) == (str, float):
        return {str(name): _as(inner, float | None, f"{key}.{name}", path) for name, inner in value.items()}
    if type(value) is not wanted:
        raise CosfaceError(f"{key} = {value!r} is of another kind than this field", path)
    return value


def census(aligned: Path | tuple[Path, ...]) -> tuple[int, str]:
    """How many crops there are, by the folder's listing or the size of packed files; and in words."""
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


def chosen(images: int) -> tuple[Recipe, str]:
    """The recipe for that many crops, and why it is that one."""
    if images < _SMALL:
        return named("small"), f"fewer than {_SMALL:,}"
    if images < _LARGE:
        return named("cosface-casia"), f"{_SMALL:,} or more, as CASIA-WebFace has half a million"
    return named("cosface-large"), f"{_LARGE:,} or more, as the paper's own five million"


def filled(config: TrainConfig, recipe: Recipe) -> TrainConfig:
    """The configuration with every field that it leaves open as the recipe says, or as silence means.

    Where another loss, optimizer, start, sampler or length is asked for than the recipe's, what hangs on the recipe's
    goes: its margin, its rates, its backbone. Its milestones move with the length in proportion.
    """
    given = {name: getattr(config, name) for name in FIELDS if getattr(config, name) is not None}
    values = {**SILENT, **recipe.values}
    if given.get("loss", values["loss"]) != values["loss"]:
        values = {name: value for name, value in values.items() if name not in ("m", "loss_options")}
        from cosface_cli.losses import LOSSES

        if "s" not in LOSSES.load(given["loss"]).DEFAULTS:
            values.pop("s", None)
    if given.get("optimizer", values["optimizer"]) != values["optimizer"]:
        values = {name: value for name, value in values.items() if name not in ("momentum", "nesterov")}
        values.update(_OF_OPTIMIZER.get(given["optimizer"], {}))
    if given.get("start") or values.get("start"):
        values = {name: value for name, value in values.items() if name not in ("backbone", "embedding_size")}
    if given.get("backbone", values.get("backbone")) != values.get("backbone"):
        values.pop("embedding_size", None)
    if given.get("sampler", values["sampler"]) != values["sampler"]:
        values.pop("images_per_identity", None)
    for name in {"s", "m"} & set(given.get("loss_options", {})):  # asked for by its other name
        values.pop(name, None)
    if given.get("epochs") is not None or given.get("steps") is not None:
        values = _of_length(values, given)
    elif "steps" in recipe.values:
        values.pop("epochs", None)
    if given.get("schedule", "step") != "step":
        values.pop("milestones", None)
    if given.get("milestones") and "schedule" not in given:
        values["schedule"] = "step"
    return replace(config, **{name: value for name, value in values.items() if name not in given})


def _of_length(values: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's milestones at the same shares of another length."""
    was = values.get("steps") or values["epochs"]
    values = {name: value for name, value in values.items() if name not in ("epochs", "steps")}
    length = given.get("steps") or given.get("epochs")
    if "milestones" in values and length != was:
        moved = {round(milestone * length / was) for milestone in values["milestones"]}
        values["milestones"] = tuple(sorted(milestone for milestone in moved if milestone >= 1)) or (1,)
    return values
