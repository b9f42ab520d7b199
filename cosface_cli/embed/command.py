"""cosface embed: crops or photos -> an HDF5 store of embeddings; cosface embed info, merge, split: of stores."""

from __future__ import annotations

from dataclasses import asdict

from cosface_cli.command_line import command
from cosface_cli.console import Terminal
from cosface_cli.embed import EmbedConfig, InfoConfig, MergeConfig, SplitConfig
from cosface_cli.outcomes import EXIT_DONE

COLUMNS = ("source", "status", "reason", "identity", "face", "model")


@command(
    EmbedConfig,
    examples=(
        "cosface embed ./aligned faces.h5",
        "cosface embed ./photos faces.h5 --faces all --prune",
        "cosface embed ./aligned ./stores --model dlib --model runs/mine --flip concat",
        "cosface embed info faces.h5",
        "cosface embed merge a.h5 b.h5 all.h5",
        "cosface embed split all.h5 ./parts --by identity",
    ),
)
def embed(config: EmbedConfig, terminal: Terminal) -> int:
    """Compute the embeddings of faces and write them to a store.

    A folder with a manifest contains crops; any other folder contains photos, which are aligned first. If a run is
    interrupted, run the same command again and it continues. Later runs only work on new and changed photos.

    With several --model, each photo is read once, and STORE is a folder: STORE/dlib.h5, STORE/NAME.h5. Each of them is
    the same store as with that model alone.

    Commands for existing stores: cosface embed info, cosface embed merge, cosface embed split; each has its own --help.
    """
    from cosface_cli.embed.stage import embed as run

    with terminal.stage_output("embed", COLUMNS) as emit:
        run(config, emit)
    return emit.exit_code


@command(InfoConfig, examples=("cosface embed info faces.h5", "cosface embed info faces.h5 --format json"))
def info(config: InfoConfig, terminal: Terminal) -> int:
    """Print what is in a store: rows, model, identities, rejects."""
    from cosface_cli.embed.store_info import info as run

    report = run(config)
    terminal.print_rows([asdict(report)])
    rejects = ", ".join(f"{reason} {count}" for reason, count in report.rejects.items())
    terminal.say(
        f"{report.rows} embeddings of {report.size} numbers by {report.model}, from {report.sources} files of "
        f"{report.identities} identities; rejected: {rejects or 'none'}"
    )
    if report.unfinished:
        terminal.say("an interrupted run was filling this store; run the same cosface embed again and it continues")
    return EXIT_DONE


@command(
    MergeConfig,
    examples=("cosface embed merge monday.h5 tuesday.h5 week.h5", "cosface embed merge all.h5 new.h5 all.h5"),
)
def merge(config: MergeConfig, terminal: Terminal) -> int:
    """Join stores to one, with each source once.

    If a source differs between stores, the last store is used. OUT may be one of the stores.
    """
    from cosface_cli.embed.store_merge import merge as run

    with terminal.stage_progress("merge") as emit:
        report = run(config, emit)
    terminal.print_rows([asdict(report)])
    return EXIT_DONE


@command(
    SplitConfig,
    examples=("cosface embed split faces.h5 ./people --by identity", "cosface embed split faces.h5 ./parts --by 4"),
)
def split(config: SplitConfig, terminal: Terminal) -> int:
    """Divide a store into several, by identity or into a number of parts.

    All rows of a photo stay together, and so do rejects. Parts that are merged in their order are the same store again.
    """
    from cosface_cli.embed.store_split import split as run

    with terminal.stage_progress("split") as emit:
        parts = run(config, emit)
    terminal.print_rows([asdict(part) for part in parts])
    return EXIT_DONE
