"""cosface verify: photos to a decision, or a model to the figures of a protocol."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cosface_cli.command_line import OptionValues, multi_config_command
from cosface_cli.console import Terminal
from cosface_cli.errors import CosfaceError
from cosface_cli.options import Checked, argument, option
from cosface_cli.outcomes import EXIT_DONE, EXIT_NO, EXIT_PART, Note, Outcome
from cosface_cli.verify.compare import CompareConfig
from cosface_cli.verify.faces import keep_blas_single_threaded
from cosface_cli.verify.protocols import PROTOCOLS, protocol_configs, recognise
from cosface_cli.verify.protocols.protocol_config import PROTOCOL, PairsOption, ProtocolConfig

COLUMNS = ("cos", "same", "far", "far_low", "far_high", "threshold", "left", "right", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyArguments(Checked):
    """The arguments that decide which config the command builds."""

    paths: Annotated[
        tuple[str, ...],
        argument(
            "A B | A GALLERY | - | SOURCE",
            "Two photos; a photo and a folder, archive or store; - for pairs on stdin; the source of a protocol.",
        ),
    ] = ()
    protocol: Annotated[
        str | None,
        option(
            "Protocol by which SOURCE is evaluated: {choices}.",
            choices=PROTOCOLS,
            metavar="NAME",
            unset="recognised from the files",
            group=PROTOCOL,
        ),
    ] = None
    pairs: PairsOption = None
    report: Annotated[
        Path | None,
        option("Write an HTML page of a protocol: curves with bands, rates, hardest errors.", group=PROTOCOL),
    ] = None


@multi_config_command(
    lambda: (VerifyArguments, CompareConfig, *protocol_configs()),
    examples=(
        "cosface verify a.jpg b.jpg",
        "cosface verify a.jpg ./people",
        "cosface verify ./lfw --pairs pairs.txt --report report.html",
        "cosface verify faces.h5 --protocol all-pairs",
    ),
)
def verify(values: OptionValues, terminal: Terminal) -> int:
    """Decide whether two photos show one person (exit code 0) or two (1), or evaluate a model by a protocol.

    The score is the cosine of the embeddings; far is the share of pairs of two people that score as high. In a protocol
    with folds, the threshold of each is chosen on the others. A line of stdin is A<TAB>B or {"left": A, "right": B};
    or all names end in NUL. See also: cosface verify calibrate --help, cosface verify leakage --help.
    """
    arguments = values.config(VerifyArguments)
    names = [str(Path(path)) for path in arguments.paths]
    stores: Sequence[Path] = values.values.get("stores", ())
    pairs, protocol = arguments.pairs, arguments.protocol
    unlabelled = _unlabelled_pairs(pairs, names, bool(stores)) if pairs is not None and protocol is None else None
    is_source = len(names) == 1 and names != ["-"] and not stores
    if unlabelled is not None or (pairs is None and protocol is None and not is_source):
        config = values.config(CompareConfig, choice="a comparison of photos", allowed=("paths", "pairs"))
        return _compare(names, config, terminal) if unlabelled is None else _compare_list(unlabelled, config, terminal)
    if len(names) > 1 or (names and stores) or len(stores) > 1:
        problem = f"{len(names) + len(stores)} paths are neither two photos nor one source"
        raise CosfaceError(problem, hint="give A B for two photos, or one SOURCE and --pairs or --protocol")
    source = Path(names[0]) if names else (*stores, *((pairs,) if pairs is not None else ()), Path())[0]
    options = {**values.values, "pairs": None if pairs == source else pairs}
    choice = f"--protocol {protocol}"
    if protocol is None:
        protocol, reason = recognise(source, options)
        choice = f"protocol {protocol}"
        terminal.say(f"protocol {protocol}: {reason}; --protocol selects another")
    allowed = ("paths", "protocol", "report", "stores", *(("pairs",) if pairs == source else ()))
    kind: type[ProtocolConfig] = PROTOCOLS.load(protocol)
    values = OptionValues(values.configs, {name: value for name, value in options.items() if value is not None})
    return _evaluate(values.config(kind, choice=choice, allowed=allowed, source=source), arguments.report, terminal)


def _unlabelled_pairs(pairs: Path, names: list[str], in_store: bool) -> list[tuple[str, str]] | None:
    """The pairs of a list that only names them, to compare; None for a list that a protocol evaluates."""
    from cosface_cli.verify.compare.pair_lines import unlabelled_pairs

    root = None if in_store else Path(names[0]) if names else pairs.parent
    return unlabelled_pairs(pairs, root) if len(names) < 2 and not pairs.is_dir() else None


def _compare(names: list[str], config: CompareConfig, terminal: Terminal) -> int:
    if names == ["-"]:
        from cosface_cli.verify.compare.pair_lines import split_pairs

        return _compare_list(split_pairs(sys.stdin.buffer.read()), config, terminal)
    if not 1 <= len(names) <= 2:
        hint = "give A B, a photo and a folder of many, - for pairs on stdin, or SOURCE with --pairs or --protocol"
        raise CosfaceError(f"{len(names)} paths are neither two photos nor one source", hint=hint)
    from cosface_cli.verify.stage import are_many, compare_many, compare_two

    left, right = names[0], names[1] if len(names) == 2 else None
    if right is None or (not config.stores and are_many(right)):
        with terminal.stage_output("verify", COLUMNS) as emit:
            report = compare_many(left, right, config, emit)
        return EXIT_NO if emit.exit_code == EXIT_DONE and not report.same else emit.exit_code
    if config.workers:
        raise CosfaceError("--workers has no effect on two photos", hint="leave it out")

    def print_note(outcome: Outcome) -> None:
        if isinstance(outcome, Note):
            terminal.say(outcome.text)

    matches = compare_two(left, right, config, print_note)
    terminal.print_rows(map(asdict, matches), COLUMNS)
    return EXIT_DONE if any(match.same for match in matches) else EXIT_NO


def _compare_list(pairs: list[tuple[str, str]], config: CompareConfig, terminal: Terminal) -> int:
    from cosface_cli.verify.stage import compare_list

    with terminal.stage_output("verify", COLUMNS) as emit:
        report = compare_list(pairs, config, emit)
    return EXIT_NO if emit.exit_code == EXIT_DONE and not report.same else emit.exit_code


def _evaluate(config: ProtocolConfig, page: Path | None, terminal: Terminal) -> int:
    keep_blas_single_threaded()
    from cosface_cli.verify.stage import run_protocol

    with terminal.stage_output("verify") as emit:
        scores, report = run_protocol(config, emit)
        emit.rows.write(asdict(report) if emit.rows.output == "json" else report.summary())
        if page is not None:
            from cosface_cli.verify.figures.protocol_page import write_report

            write_report(page, scores, report, shlex.join(["cosface", *sys.argv[1:]]))
    allowed = config.allowed_missing()
    if allowed is not None and len(report.missing) > allowed:
        examples = ", ".join(report.missing[:3]) + (", ..." if len(report.missing) > 3 else "")
        effect = "their pairs count as errors" if report.missing_rule == "error" else "they are left out"
        Terminal().say(f"cosface: {len(report.missing)} photos gave no score ({examples}); {effect}")
        return EXIT_PART
    return EXIT_DONE
