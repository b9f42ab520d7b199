"""The stores that a run of embed fills: one for each model; and the workers that compute the embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cosface_cli.artifacts.store.store_file import StoreHeader
from cosface_cli.embed import EmbedConfig
from cosface_cli.engines.embedders import GPU_BATCH
from cosface_cli.engines.embedders.open_embedder import fallback, open_embedder, require_precision
from cosface_cli.engines.photos.limits import limits_of
from cosface_cli.engines.photos.photo_embedder import PhotoEmbedderOpener, PhotoEmbeddings, PhotoOrCrop
from cosface_cli.engines.runners import RUNNERS, Openers, PathCheckingOpener
from cosface_cli.engines.runtime.cpu import cpu_count
from cosface_cli.engines.runtime.devices import CPU, device_given_out, devices, on_gpu
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, OnOutcome

CHUNK = 8  # sources in a message to a worker
_SUFFIXES = (".h5", ".hdf5")


@dataclass(frozen=True, slots=True)
class TargetStore:
    """The store of one model."""

    spec: str
    """The value of --model."""
    header: StoreHeader
    path: Path


def target_stores(config: EmbedConfig) -> tuple[TargetStore, ...]:
    """For one model config.store, for several models config.store/NAME.h5.

    Raises CosfaceError for an unknown or repeated model, for two models of the same name, for a folder where a file is
    needed, and for a file where a folder is needed.
    """
    specs = (config.model,) if isinstance(config.model, str) else config.model
    if not specs:
        raise CosfaceError("--model is missing", hint="give --model dlib")
    several = len(specs) > 1
    if several:
        _require_folder(config.store)
    targets: list[TargetStore] = []
    for spec in specs:
        header = _header(spec, config)
        target = TargetStore(spec, header, config.store / f"{header.model}.h5" if several else config.store)
        _require_different(target, targets)
        targets.append(target)
    if not several and config.store.is_dir():
        hint = f"give a file, such as {config.store / targets[0].header.model}.h5"
        raise CosfaceError("this is a folder; the store of one model is a file", config.store, hint)
    return tuple(targets)


def _require_folder(store: Path) -> None:
    if (store.suffix in _SUFFIXES or store.exists()) and not store.is_dir():
        hint = f"give a folder, such as {store.with_suffix('') if store.suffix else 'stores'}"
        raise CosfaceError("this is a file; the stores of several models need a folder", store, hint)


def _require_different(target: TargetStore, others: Sequence[TargetStore]) -> None:
    for other in others:
        if other.header.model_id == target.header.model_id:
            raise CosfaceError(
                f"--model {target.spec} and --model {other.spec} are the same model", hint="give it once"
            )
        if other.path.name.casefold() == target.path.name.casefold():
            raise CosfaceError(
                f"--model {target.spec} and --model {other.spec} both have the name {target.header.model!r}",
                hint="rename one folder, or embed with one model after the other, each into another store",
            )


def _header(spec: str, config: EmbedConfig) -> StoreHeader:
    require_precision(spec, config.precision)
    embedder = open_embedder(spec)  # only for its header: the workers open the model themselves
    size = embedder.size * (2 if config.flip == "concat" else 1)
    return StoreHeader(
        model=embedder.name,
        model_id=embedder.model_id,
        template=embedder.template,
        flip=config.flip,
        size=size,
        precision=config.precision,
    )


def worker_openers(
    config: EmbedConfig, targets: Sequence[TargetStore], files: tuple[Path, ...], emit: OnOutcome
) -> tuple[Openers[list[PhotoOrCrop], list[tuple[PhotoEmbeddings, ...]]], int]:
    """The opener of all workers, or one per device; and the number of sources in a message to a worker.

    files: files that a worker must be able to read. Emits a note for each model that falls back to the CPU. Raises
    CosfaceError for a missing device.
    """
    opener = PhotoEmbedderOpener(
        models=tuple(target.spec for target in targets),
        flip=config.flip,
        detector=config.detector,
        faces=config.faces,
        limits=limits_of(config),
        try_rotations=config.try_rotations,
        precision=config.precision,
    )
    local = RUNNERS.load(config.engine).on_this_machine
    used_devices = devices(config.device, emit) if local else (device_given_out(config.device),)
    fallbacks = [note for spec in opener.models if (note := fallback(spec, used_devices[0])) is not None]
    for note in fallbacks:
        emit(Note(note))
    if used_devices == CPU or len(fallbacks) == len(opener.models):
        return PathCheckingOpener(opener, files), CHUNK
    # a GPU embeds faster than one thread reads, so each device gets its share of the workers as reading threads
    readers = max(1, (config.workers or cpu_count()) // len(used_devices)) if local else 1
    gpu = on_gpu(used_devices[0])
    openers = tuple(
        PathCheckingOpener(replace(opener, device=device, readers=readers), files, gpu) for device in used_devices
    )
    return openers, GPU_BATCH if gpu else CHUNK
