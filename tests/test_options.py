"""Options as data: what a field says decides its flag, its help, the check of its value, and where it comes from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer

from cosface_cli.command_line import Command, Group, OptionValues, command, mount, multi_config_command
from cosface_cli.console import Terminal
from cosface_cli.errors import CosfaceError
from cosface_cli.options import Checked, argument, check, convert, flag_of, option, parameter, parameters
from cosface_cli.registry import Row, Table

Faces = Literal["largest", "all"]
TOOLS: Table[Any] = Table("tool", Row("saw", "math:tau", "cuts"), Row("file", "math:pi", "smooths"))
Rate = Annotated[float | None, option("Highest rate.", above=0, at_most=1, unset="from the recipe", group="Schedule")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Checked):
    raw: Annotated[str, argument("RAW", "What to read.")]
    more: Annotated[tuple[Path, ...], argument("MORE...", "Further files.")] = ()
    faces: Annotated[Faces, option("Which faces: {choices}.", group="Faces")] = "largest"
    min_face: Annotated[float, option("Smallest face.", at_least=1, group="Faces")] = 20.0
    rate: Rate = None
    models: Annotated[str | tuple[str, ...], option("Models.", "--model")] = "dlib"
    settings: Annotated[Mapping[str, float] | None, option("Settings.", "--loss-option")] = None
    milestones: Annotated[tuple[int, ...] | None, option("Epochs.", separator=",")] = None
    tool: Annotated[str, option("One of {choices}.", choices=TOOLS)] = "saw"
    device: Annotated[str, option("{choices}, or a path.", known=TOOLS)] = "auto"
    k: Annotated[int, option("How many.", "-k", at_least=1)] = 5
    seed: Annotated[int, option("A seed.", at_least=0, below=2**63)] = 0
    redo: Annotated[bool, option("Again.")] = False
    report: Annotated[bool, option("A page.")] = True
    nesterov: Annotated[bool | None, option("Of sgd.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Several(Checked):
    more: Annotated[tuple[Path, ...], option("Further files.")] = ()
    devices: Annotated[tuple[str, ...], option("{choices}, or a path.", known=TOOLS)] = ()
    settings: Annotated[Mapping[str, float] | None, option("Settings.", "--loss-option")] = None


def test_a_field_knows_its_flag_kind_and_choices() -> None:
    assert [found.name for found in parameters(Config)][:3] == ["raw", "more", "faces"]
    assert flag_of(Config, "min_face") == "--min-face" and flag_of(Config, "models") == "--model"
    assert flag_of(Config, "raw") == "RAW" and flag_of(Config, "k") == "-k"
    assert parameter(Config, "faces").choices == ("largest", "all")
    assert parameter(Config, "tool").help == "One of saw, file."
    assert parameter(Config, "device").help == "saw, file, or a path." and parameter(Config, "device").choices == ()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"min_face": 0.5}, "--min-face must be at least 1, got 0.5"),
        ({"rate": 0.0}, "--rate must be above 0 and at most 1, got 0"),
        ({"rate": 1.5}, "--rate must be above 0 and at most 1, got 1.5"),
        ({"rate": float("nan")}, "--rate must be above 0 and at most 1, got nan"),
        ({"k": 0}, "-k must be at least 1, got 0"),
        ({"seed": 2**63}, "--seed must be at least 0 and below 9223372036854775808, got 9223372036854775808"),
        ({"faces": "al"}, "--faces 'al' is not known; did you mean 'all'?"),
        ({"tool": "hammer"}, "--tool 'hammer' is not known; choose one of saw, file"),
    ],
)
def test_a_value_out_of_range_is_one_line(values: dict[str, Any], words: str) -> None:
    with pytest.raises(CosfaceError) as raised:
        Config(raw="x", **values)
    assert str(raised.value) == words


def test_the_ends_of_a_range_are_in_it() -> None:
    config = Config(raw="x", min_face=1, rate=1.0, device="/any/path")
    check(config)
    assert config.rate == 1.0


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("min_face", 21, 21.0),
        ("min_face", "21.5", 21.5),
        ("k", "7", 7),
        ("k", "7.0", 7),
        ("k", 7.0, 7),
        ("milestones", "10,16", (10, 16)),
        ("milestones", [10, 16], (10, 16)),
        ("milestones", 10, (10,)),
        ("models", ["a"], "a"),
        ("models", ["a", "b"], ("a", "b")),
        ("settings", ["m1=1.35", "m2 = 2"], {"m1": 1.35, "m2": 2.0}),
        ("settings", {"m1": 1}, {"m1": 1.0}),
        ("more", ["a"], (Path("a"),)),
    ],
)
def test_values_of_files_and_flags_become_the_fields_type(name: str, value: Any, expected: Any) -> None:
    found = convert(parameter(Config, name), value)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("k", "seven", "-k must be a whole number, got 'seven'"),
        ("k", 1.5, "-k must be a whole number, got 1.5"),
        ("k", "1.5", "-k must be a whole number, got '1.5'"),
        ("min_face", True, "--min-face must be a number, got True"),
        ("faces", 3, "--faces must be text, got 3"),
        ("redo", "yes", "--redo must be true or false, got 'yes'"),
        ("milestones", "a", "--milestones must be a comma-separated list of whole numbers, got 'a'"),
        ("settings", ["m1"], "--loss-option must be NAME=NUMBER, such as m1=1.35, got ['m1']"),
        ("settings", ["=1"], "--loss-option must be NAME=NUMBER, such as m1=1.35, got ['=1']"),
    ],
)
def test_a_value_of_another_type_is_one_line(name: str, value: Any, words: str) -> None:
    with pytest.raises(CosfaceError) as raised:
        convert(parameter(Config, name), value)
    assert str(raised.value) == words


def run(entry: Command | Group, *words: str, **kwargs: Any) -> Any:
    app = typer.Typer(rich_markup_mode=None)
    app.callback()(lambda: None)
    mount(app, "go", entry)
    main = typer.main.get_command(app)
    return main.main(["go", *words], prog_name="tool", standalone_mode=False, **kwargs)


def recorded(made: list[Any]) -> Command:
    @command(Config, examples=("tool go photos", "tool go photos --faces all"))
    def go(config: Config, terminal: Terminal) -> int:
        """Do the work."""
        made.append((config, terminal))
        return 3

    return go


def test_a_command_builds_its_config_from_flags() -> None:
    made: list[Any] = []
    words = ["r", "a", "b", "--faces", "all", "--min-face", "30", "--model", "x", "--model", "y", "-k", "2"]
    words += ["--loss-option", "m1=2", "--milestones", "3,4", "--redo", "--no-report", "--no-nesterov", "-q"]
    assert run(recorded(made), *words) == 3
    config, terminal = made[0]
    assert config == Config(
        raw="r", more=(Path("a"), Path("b")), faces="all", min_face=30.0, models=("x", "y"), k=2,
        settings={"m1": 2.0}, milestones=(3, 4), redo=True, report=False, nesterov=False,
    )  # fmt: skip
    assert terminal == Terminal(quiet=True)
    run(recorded(made), "r")
    assert made[1] == (Config(raw="r"), Terminal())


def test_defaults_of_a_file_are_typed_and_flags_go_before_them() -> None:
    made: list[Any] = []
    file = {"min_face": 25, "milestones": [1, 2], "rate": 0.5, "redo": True}
    run(recorded(made), "r", "--rate", "0.25", default_map={"go": file})
    config = made[0][0]
    assert (config.min_face, config.milestones, config.rate, config.redo) == (25.0, (1, 2), 0.25, True)
    with pytest.raises(CosfaceError, match="--min-face must be a number, got 'wide'"):
        run(recorded(made), "r", default_map={"go": {"min_face": "wide"}})


def test_numbers_and_dates_of_a_file_are_text_where_text_is_asked() -> None:
    made: list[Any] = []
    run(recorded(made), "r", default_map={"go": {"device": date(2024, 1, 31), "model": [7303, "b"]}})
    assert (made[0][0].device, made[0][0].models) == ("2024-01-31", ("7303", "b"))


def test_variables_of_repeatable_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths and models are separated as in $PATH, other values by blanks."""
    made: list[Any] = []
    monkeypatch.setenv("TOOL_GO_MORE", os.pathsep.join(["a b", "c"]))
    monkeypatch.setenv("TOOL_GO_DEVICES", os.pathsep.join(["my net.onnx", "saw"]))
    monkeypatch.setenv("TOOL_GO_LOSS_OPTION", "m1=1 m2=2")

    @command(Several, examples=())
    def go(config: Several, terminal: Terminal) -> int:
        """Do the work."""
        made.append(config)
        return 0

    run(go, auto_envvar_prefix="TOOL")
    expected = Several(more=(Path("a b"), Path("c")), devices=("my net.onnx", "saw"), settings={"m1": 1.0, "m2": 2.0})
    assert made == [expected]


def test_help_groups_options_shows_defaults_and_ends_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    run(recorded([]), "--help")
    text = capsys.readouterr().out
    flat = " ".join(text.split())
    order = [
        text.index(f"\n{title}:\n") for title in ("Arguments", "Options", "Faces", "Schedule", "Output", "Examples")
    ]
    assert order == sorted(order)
    assert "--faces <largest|all> Which faces: largest, all. [default: largest]" in flat
    assert "--min-face <number> Smallest face. [default: 20; at least 1]" in flat
    assert "--rate <number> Highest rate. [default: from the recipe; above 0 and at most 1]" in flat
    assert "--report / --no-report A page. [default: yes]" in flat and "--nesterov / --no-nesterov" in flat
    assert text.rstrip().endswith("  tool go photos\n  tool go photos --faces all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Other(Checked):
    raw: Annotated[str, argument("RAW", "What to read.")]
    pooling: Annotated[str, option("How clips are pooled.", group="YTF")] = "embedding"


def test_a_command_of_several_configs_refuses_what_the_chosen_one_does_not_have() -> None:
    made: list[Any] = []

    @multi_config_command(lambda: (Config, Other), examples=())
    def go(values: OptionValues, terminal: Terminal) -> int:
        """Do one of two things."""
        made.append(values.config(Other, choice="--protocol ytf"))
        return 0

    run(go, "r", "--pooling", "scores", "-q")
    assert asdict(made[0]) == {"raw": "r", "pooling": "scores"}
    with pytest.raises(CosfaceError, match="--min-face is not an option of --protocol ytf; leave it out"):
        run(go, "r", "--min-face", "30")
    run(go, "r", "--min-face", "20")  # a default changes nothing, such as one in cosface.toml
    assert made[1] == Other(raw="r")


def test_commands_in_a_group() -> None:
    made: list[Any] = []
    assert run(Group("Work.", {"here": recorded(made)}), "here", "r") == 3 and made
