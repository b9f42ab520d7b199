"""cosface paper: the figures and tables of Wang 2018, run on one's own crops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from cosface_cli import shared_options as options
from cosface_cli.console import following
from cosface_cli.engines.runtime.devices import wait_briefly
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import OnOutcome
from cosface_cli.paper import (
    BoundaryConfig,
    BoundsConfig,
    Fig4Config,
    Fig5Config,
    Measuring,
    PaperReport,
    TableConfig,
    Training,
)

TRAINING, MEASURING = Training(), Measuring(pairs=Path(), root=Path())
FIG4, FIG5, TABLE = Fig4Config(TRAINING), Fig5Config(TRAINING, MEASURING), TableConfig(TRAINING, MEASURING)
BOUNDARY, BOUNDS = BoundaryConfig(), BoundsConfig()

Found = PaperReport | list[dict[str, Any]]  # a figure, or what its trainings cost

app = typer.Typer(help="The figures and tables of the CosFace paper, run on your own crops.", rich_markup_mode=None)


def _text(values: Sequence[float]) -> str:
    return ",".join(map(str, values))


FIG4_MARGINS, FIG5_MARGINS, SEEDS = _text(FIG4.margins), _text(FIG5.margins), _text(TABLE.seeds)
IDENTITIES = _text(BOUNDS.identities)


def _list_of(kind: Callable[[str], Any], example: str) -> Callable[[Any], tuple[Any, ...]]:
    """A parser of values as written, 0,0.1; a list where they come from cosface.toml."""

    def parse(text: Any) -> tuple[Any, ...]:
        words = text.split(",") if isinstance(text, str) else text if isinstance(text, (list, tuple)) else [text]
        try:
            return tuple(kind(word) for word in words if word != "")
        except ValueError:
            raise CosfaceError(f"{text!r} is no list of numbers", hint=f"write it as {example}") from None

    return parse


def _numbers(kind: Callable[[str], Any], example: str, help: str) -> Any:
    return typer.Option(parser=_list_of(kind, example), metavar="<numbers>", help=help)


Aligned = Annotated[Path, typer.Argument(help="Crop folder, one sub-folder a person.")]
Pairs = Annotated[Path, typer.Option(help="List of pairs, as LFW's pairs.txt.")]
Root = Annotated[Path, typer.Option(help="Crops or photos that the pairs name.")]
RootTemplate = Annotated[str | None, typer.Option("--root-template", help="Of ROOT's crops, without a manifest.")]
Out = Annotated[Path, typer.Option(help="Folder for the figure and, in runs/, the trainings.")]
Template = Annotated[str | None, typer.Option(help="Template of the crops, where they have no manifest.")]
Recipe = Annotated[str | None, typer.Option(help="Of train --list-recipes, or a TOML [by people and crops].")]
Backbone = Annotated[str | None, typer.Option(help="Network, by train's names.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the crops.")]
Steps = Annotated[int | None, typer.Option(help="Steps in all, in place of epochs.")]
Batch = Annotated[int | None, typer.Option(help="Crops a step.")]
Rate = Annotated[float | None, typer.Option(help="Highest learning rate.")]
Scale = Annotated[float | None, typer.Option("--s", help="Scale of the cosines, for losses that have one.")]
Margin = Annotated[float, typer.Option("--m", min=0, help="Margin of LMCL, in cosine.")]
Seed = Annotated[int, typer.Option(min=0, help="Of first weights, order and augmentation.")]
Seeds = Annotated[Any, _numbers(int, "0,1,2", "Each training once with each of them, such as 0,1,2.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads of a training [all cores].")]
Loaders = Annotated[int | None, typer.Option(help="Processes that read crops.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say how long each training takes, and stop.")]


@app.command("fig4")
def fig4(
    aligned: Aligned = TRAINING.aligned,
    people: Annotated[int, typer.Option(min=2, max=10, help="How many: those with the most crops.")] = FIG4.people,
    margins: Annotated[Any, _numbers(float, "0,0.1,0.2", "Of LMCL; 0 is NSL.")] = FIG4_MARGINS,
    seed: Seed = FIG4.seed,
    out: Out = FIG4.out,
    template: Template = TRAINING.template,
    recipe: Recipe = TRAINING.recipe,
    backbone: Backbone = TRAINING.backbone,
    epochs: Epochs = TRAINING.epochs,
    steps: Steps = TRAINING.steps,
    batch: Batch = TRAINING.batch,
    lr: Rate = TRAINING.lr,
    s: Scale = TRAINING.s,
    device: Device = TRAINING.device,
    threads: Threads = TRAINING.threads,
    loaders: Loaders = TRAINING.loaders,
    dry_run: DryRun = False,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Figure 4: 2-D features of eight people under softmax, NSL and LMCL, on the plane and on the circle."""
    training = Training(
        aligned=aligned,
        template=template,
        recipe=recipe,
        backbone=backbone,
        epochs=epochs,
        steps=steps,
        batch=batch,
        lr=lr,
        s=s,
        device=device,
        threads=threads,
        loaders=loaders,
    )
    config = Fig4Config(training, people, margins, seed, out)

    def run(emit: OnOutcome) -> Found:
        from cosface_cli.paper import fig4 as figure
        from cosface_cli.paper.costs import costs

        if dry_run:
            runs = list(figure.trainings(config).values())
            with TemporaryDirectory(prefix="cosface-") as aside:
                on_some, _ = figure.prepared(config, Path(aside) / "fig4-crops")
                return list(costs(runs, on_some, [seed], out, emit))
        return figure.fig4(config, emit)

    return _follow(run, output, quiet)


@app.command("fig5")
def fig5(
    pairs: Pairs,
    root: Root,
    aligned: Aligned = TRAINING.aligned,
    margins: Annotated[Any, _numbers(float, "0,0.15,0.35", "Of LMCL; 0 is NSL.")] = FIG5_MARGINS,
    seeds: Seeds = SEEDS,
    root_template: RootTemplate = MEASURING.crops_template,
    flip: options.FlipMode = MEASURING.flip,
    workers: options.Workers = MEASURING.workers,
    out: Out = FIG5.out,
    template: Template = TRAINING.template,
    recipe: Recipe = TRAINING.recipe,
    backbone: Backbone = TRAINING.backbone,
    epochs: Epochs = TRAINING.epochs,
    steps: Steps = TRAINING.steps,
    batch: Batch = TRAINING.batch,
    lr: Rate = TRAINING.lr,
    s: Scale = TRAINING.s,
    device: Device = TRAINING.device,
    threads: Threads = TRAINING.threads,
    loaders: Loaders = TRAINING.loaders,
    dry_run: DryRun = False,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Figure 5: verification accuracy by the margin of LMCL."""
    training = Training(
        aligned=aligned,
        template=template,
        recipe=recipe,
        backbone=backbone,
        epochs=epochs,
        steps=steps,
        batch=batch,
        lr=lr,
        s=s,
        device=device,
        threads=threads,
        loaders=loaders,
    )
    measuring = Measuring(pairs=pairs, root=root, crops_template=root_template, flip=flip, workers=workers)
    config = Fig5Config(training, measuring, margins, seeds, out)

    def run(emit: OnOutcome) -> Found:
        from cosface_cli.paper import fig5 as figure
        from cosface_cli.paper.costs import costs

        if dry_run:
            return list(costs(list(figure.trainings(margins).values()), training, seeds, out, emit))
        return figure.fig5(config, emit)

    return _follow(run, output, quiet)


def _table(name: str, help: str) -> Callable[..., int]:
    """The command of table1 or table2, which take the same."""

    def table(
        pairs: Pairs,
        root: Root,
        aligned: Aligned = TRAINING.aligned,
        m: Margin = TABLE.m,
        seeds: Seeds = SEEDS,
        root_template: RootTemplate = MEASURING.crops_template,
        flip: options.FlipMode = MEASURING.flip,
        workers: options.Workers = MEASURING.workers,
        out: Out = TABLE.out,
        template: Template = TRAINING.template,
        recipe: Recipe = TRAINING.recipe,
        backbone: Backbone = TRAINING.backbone,
        epochs: Epochs = TRAINING.epochs,
        steps: Steps = TRAINING.steps,
        batch: Batch = TRAINING.batch,
        lr: Rate = TRAINING.lr,
        s: Scale = TRAINING.s,
        device: Device = TRAINING.device,
        threads: Threads = TRAINING.threads,
        loaders: Loaders = TRAINING.loaders,
        dry_run: DryRun = False,
        output: options.Format = None,
        quiet: options.Quiet = False,
    ) -> int:
        training = Training(
            aligned=aligned,
            template=template,
            recipe=recipe,
            backbone=backbone,
            epochs=epochs,
            steps=steps,
            batch=batch,
            lr=lr,
            s=s,
            device=device,
            threads=threads,
            loaders=loaders,
        )
        measuring = Measuring(pairs=pairs, root=root, crops_template=root_template, flip=flip, workers=workers)
        config = TableConfig(training, measuring, m, seeds, out)

        def run(emit: OnOutcome) -> Found:
            from cosface_cli.paper import table1, table2
            from cosface_cli.paper.costs import costs
            from cosface_cli.paper.runs import steps_of

            if dry_run:
                named = table1.trainings(m) if name == "table1" else table2.trainings(m, steps_of(training))
                return list(costs(list(named.values()), training, seeds, out, emit))
            return table1.table1(config, emit) if name == "table1" else table2.table2(config, emit)

        return _follow(run, output, quiet)

    app.command(name, help=help)(table)
    return table


table1 = _table("table1", "Table 1: LMCL with and without normalised features.")
table2 = _table("table2", "Table 2: eight losses with the same data and network.")


@app.command("fig-boundary")
def fig_boundary(
    m: Margin = BOUNDARY.m,
    factor: Annotated[int, typer.Option(min=1, help="Of the angle in A-Softmax.")] = BOUNDARY.factor,
    ratio: Annotated[float, typer.Option(min=1, help="Of the lengths of softmax's two weights.")] = BOUNDARY.ratio,
    out: Out = BOUNDARY.out,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Figure 2: decision boundaries of softmax, NSL, A-Softmax and LMCL between two classes."""

    def run(emit: OnOutcome) -> Found:
        from cosface_cli.paper.fig_boundary import fig_boundary as figure

        return figure(BoundaryConfig(m, factor, ratio, out), emit)

    return _follow(run, output, quiet)


@app.command("bounds")
def bounds(
    identities: Annotated[Any, _numbers(int, "8,10575", "Numbers of identities.")] = IDENTITIES,
    embedding_size: Annotated[int, typer.Option(min=2, help="Dimensions K of Eq. 7.")] = BOUNDS.embedding_size,
    out: Out = BOUNDS.out,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """The bounds of s and m by number of identities (Eq. 6 and 7)."""

    def run(emit: OnOutcome) -> Found:
        from cosface_cli.paper.bounds import bounds as figure

        return figure(BoundsConfig(identities, embedding_size, out), emit)

    return _follow(run, output, quiet)


def _follow(run: Callable[[OnOutcome], Found], output: Any, quiet: bool) -> int:
    wait_briefly()
    with following("paper", output, quiet) as emit:
        found = run(emit)
        for row in found.rows if isinstance(found, PaperReport) else found:
            emit.rows.write(row)
    return emit.exit_code
