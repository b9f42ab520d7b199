"""The models of a run: where each one's store lies, and what computes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cosface_cli.artifacts.store.store_file import StoreHeader
from cosface_cli.embed import EmbedConfig
from cosface_cli.engines.embedders import GPU_BATCH
from cosface_cli.engines.embedders.opening import fallback, open_embedder, require_precision
from cosface_cli.engines.photos.face_vectors import VectorsOpener
from cosface_cli.engines.runners import RUNNERS, Opener, PathCheckingOpener
from cosface_cli.engines.runtime.cpu import cpu_count
from cosface_cli.engines.runtime.devices import CPU, PRECISIONS, device_given_out, devices, on_gpu
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.registry import one_of

CHUNK = 8  # sources handed to a worker at a time
_STORES = (".h5", ".hdf5")


@dataclass(frozen=True, slots=True)
class Model:
    """spec: as asked for; store: its file."""

    spec: str
    header: StoreHeader
    store: Path


def models_of(config: EmbedConfig) -> tuple[Model, ...]:
    """One model has config.store for its store; several have config.store/NAME.h5 each.

    Raises CosfaceError for an unknown model, one that is given twice, two of the same name, and a folder where a file
    is needed or the other way round.
    """
    one_of(config.precision, PRECISIONS, "--precision")
    specs = (config.model,) if isinstance(config.model, str) else config.model
    if not specs:
        raise CosfaceError("a model is needed", hint="--model dlib")
    several = len(specs) > 1
    if several and (config.store.suffix in _STORES or config.store.exists()) and not config.store.is_dir():
        hint = f"give a folder, as {config.store.with_suffix('') if config.store.suffix else 'stores'}"
        raise CosfaceError("several models need a folder for their stores, this is a file", config.store, hint)
    found: list[Model] = []
    for spec in specs:
        header = _header(spec, config)
        store = config.store / f"{header.model}.h5" if several else config.store
        for other in found:
            if other.header.model_id == header.model_id:
                raise CosfaceError(f"--model {spec} and --model {other.spec} are one model", hint="name it once")
            if other.store.name.casefold() == store.name.casefold():
                raise CosfaceError(
                    f"--model {spec} and --model {other.spec} are both called {header.model!r}",
                    hint="rename a folder of theirs, or embed by one after the other, each into a store of its own",
                )
        found.append(Model(spec, header, store))
    if not several and config.store.is_dir():
        hint = f"give a file, as {config.store / found[0].header.model}.h5"
        raise CosfaceError("this is a folder; the store of one model is a file", config.store, hint)
    return tuple(found)


def _header(spec: str, config: EmbedConfig) -> StoreHeader:
    require_precision(spec, config.precision)
    embedder = open_embedder(spec)  # and closed again: the workers open their own
    size = embedder.size * (2 if config.flip == "concat" else 1)
    return StoreHeader(embedder.name, embedder.model_id, embedder.template, config.flip, size, config.precision)


def placed(
    config: EmbedConfig, how: VectorsOpener, files: tuple[Path, ...], emit: OnOutcome
) -> tuple[Opener | tuple[Opener, ...], int]:
    """The worker's opener, or one for each device, and how many sources a worker is handed at a time.

    What falls back to the CPU is told. Raises CosfaceError for a device that is not there.
    """
    local = RUNNERS.load(config.engine).on_this_machine
    where = devices(config.device, emit) if local else (device_given_out(config.device),)
    notes = [note for spec in how.models if (note := fallback(spec, where[0])) is not None]
    for note in notes:
        emit(Note(note))
    if where == CPU or len(notes) == len(how.models):
        return PathCheckingOpener(how, files), CHUNK
    # beside each network as many threads read as its share of the workers: a GPU is quicker than they are
    readers = 1 if not local else max(1, (config.workers or cpu_count()) // len(where))
    gpu = on_gpu(where[0])
    openers = tuple(PathCheckingOpener(replace(how, device=device, readers=readers), files, gpu) for device in where)
    return openers, GPU_BATCH if gpu else CHUNK
