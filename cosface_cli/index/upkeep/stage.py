"""The functions of upkeep: info, check, merge, export, migrate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index import forgotten
from cosface_cli.artifacts.index.forgotten import forgotten_faces, join_receipts, require_no_unfinished_forget
from cosface_cli.artifacts.index.index_folder import (
    MAIN,
    IndexHeader,
    check_sums,
    publish_index_json,
    read_header,
)
from cosface_cli.artifacts.index.index_rows import IndexRows
from cosface_cli.artifacts.index.people_file import join
from cosface_cli.artifacts.store.store_series import require_finished
from cosface_cli.errors import CosfaceError, DamagedError, ModelMismatch
from cosface_cli.index import BuildReport
from cosface_cli.index.build.build_report import build_report, identity_count
from cosface_cli.index.build.row_keys import accepted_rows
from cosface_cli.index.build.search_choice import SearchChoice
from cosface_cli.index.build.segments import RowBlock, SegmentWriter, read_blocks, write_changes
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.index.upkeep import (
    EXPORTS,
    CheckConfig,
    CheckReport,
    ExportConfig,
    ExportReport,
    InfoConfig,
    InfoReport,
    MergeConfig,
    MigrateConfig,
    MigrateReport,
)
from cosface_cli.index.upkeep.index_checks import compare_with_store, count_rows_that_find_themselves, row_problems
from cosface_cli.index.upkeep.model_map import common_faces, fit_map, mapped_keys, quality_sentence
from cosface_cli.maths.linear_map import mapped
from cosface_cli.outcomes import Done, Note, OnOutcome, Planned, ignore
from cosface_cli.registry import require_one_of


def info(config: InfoConfig) -> InfoReport:
    """What an index holds, without reading its vectors. Raises CosfaceError for a folder that is not an index,
    DamagedError for a damaged one."""
    root = config.index
    header = read_header(root)
    return InfoReport(
        index=str(root),
        rows=header.rows,
        identities=identity_count(root, header),
        model=header.model,
        model_id=header.model_id,
        template=header.template,
        flip=header.flip,
        size=header.size,
        metric=header.metric,
        engine=header.engine,
        uri=header.uri,
        segments=tuple({"rows": s.rows, "search": s.search, **s.settings} for s in header.segments),
        stores=header.stores,
        missing=tuple(name for name in header.stores if not Path(name).is_file()),
        bytes=sum(file.bytes for file in header.files.values()),
        forgotten=len(forgotten_faces(root)),
        unfinished=(root / forgotten.PLAN).exists(),
        mapped=header.mapped,
    )


def check(config: CheckConfig, emit: OnOutcome = ignore) -> CheckReport:
    """Check the content of the files and the rows of every segment. Check that a search for a row, by the method that
    the index is built for, finds it or a row with the same vector. Compare with the stores that still exist.

    Raises CosfaceError for a folder that is not an index; all other problems are in the report.
    """
    root = str(config.index)
    try:
        gallery = Gallery(config.index)
        require_no_unfinished_forget(config.index)
    except DamagedError as error:
        return CheckReport(index=root, ok=False, problems=(str(error),))
    except CosfaceError as error:
        if not (config.index / MAIN).is_file():
            raise
        return CheckReport(index=root, ok=False, problems=(str(error),))
    problems = [f"{name}: its content is not what was written" for name in check_sums(config.index, gallery.header)]
    problems += row_problems(gallery)
    searched, successes = count_rows_that_find_themselves(gallery, config.rows, emit)
    if successes < searched:
        problems.append(f"{searched - successes} of {searched} searches for a row do not find it")
    compared = 0
    for path in dict.fromkeys([*map(Path, gallery.header.stores), *(path.absolute() for path in config.stores)]):
        if path.is_file() or path in config.stores:
            compared += compare_with_store(gallery, path, problems)
    return CheckReport(
        index=root,
        ok=not problems,
        rows=len(gallery),
        searched=searched,
        found=successes,
        compared=compared,
        problems=tuple(problems),
    )


def merge(config: MergeConfig, emit: OnOutcome = ignore) -> BuildReport:
    """Write the rows of all indexes to config.out, in their order, without faces that one of them forgot.

    Of rows with the same source, face and content the first is taken. Names of people are copied. Raises ModelMismatch
    for indexes of different models, CosfaceError if config.out exists.
    """
    choice = SearchChoice.of(config.search, config.recall)
    headers = [read_header(root) for root in config.indexes]
    sources = [
        (root, header, segment)
        for root, header in zip(config.indexes, headers, strict=True)
        for segment in header.segments
    ]
    first = headers[0]
    for root, header in zip(config.indexes, headers, strict=True):
        require_no_unfinished_forget(root)
        header.identity.require_same(first.identity, root, "merge indexes of one model")
        if header.mapped != first.mapped:
            problem = f"its vectors were not made like those of {config.indexes[0]} (by migrate)"
            raise ModelMismatch(problem, root, "merge indexes whose vectors were made in the same way")
    _require_new(config.out)
    atomic.make_folder(config.out)
    with ExitStack() as locks:
        for root in dict.fromkeys(path.resolve() for path in (*config.indexes, config.out)):
            locks.enter_context(atomic.lock(root / MAIN))
        locks.enter_context(atomic.write_errors(config.out))
        join_receipts(config.indexes, config.out)
        keys = [np.array(IndexRows(root / segment.names, segment.rows).keys) for root, _, segment in sources]
        accepted = accepted_rows(np.concatenate([np.zeros(0, "S24"), *keys]), config.out)
        count = int(accepted.mask.sum())
        emit(Planned(count))

        def rows() -> Iterator[RowBlock]:
            start = 0
            for root, header, segment in sources:
                for block in read_blocks(root, header, segment, accepted.mask[start : start + segment.rows]):
                    if len(block.keys):
                        yield replace(block, ids=None)
                        emit(Done(str(root), count=len(block.keys)))
                start += segment.rows

        stores = tuple(dict.fromkeys(store for header in headers for store in header.stores))
        new = replace(first, engine=choice.product, uri=None, segments=(), files={}, next_id=0, stores=stores)
        _write_new_index(config.out, config.indexes, new, choice, rows, count, emit)
    header = read_header(config.out)
    return build_report(
        config.out, header, added=count, removed=0, doubles=accepted.duplicates, forgotten=accepted.forgotten
    )


def export(config: ExportConfig) -> ExportReport:
    """Write an index to config.out, in the format of its suffix, whole or not at all. Raises CosfaceError for a suffix
    that is not known, or whose package is not installed."""
    suffix = config.out.suffix.removeprefix(".").lower()
    require_one_of(suffix, EXPORTS.names, "the suffix of the file")
    write = EXPORTS.load(suffix)
    gallery = Gallery(config.index)
    with atomic.write_errors(config.out), atomic.replacing(config.out) as temp:
        write(gallery, temp, config.vectors)
    return ExportReport(out=str(config.out), rows=len(gallery), format=suffix)


def migrate(config: MigrateConfig, emit: OnOutcome = ignore) -> MigrateReport:
    """Write an index whose vectors approximate those of the new model, by a linear map. Names of people are copied.

    A later build or add replaces mapped rows by rows that the new model embedded. Raises ModelMismatch if the index is
    not of the old model, CosfaceError if too few faces are in both stores.
    """
    choice = SearchChoice.of(config.search, config.recall)
    header = read_header(config.index)
    require_no_unfinished_forget(config.index)
    for path in (config.old, config.new):
        require_finished(path)
    faces = common_faces(config.old, config.new)
    faces.old.identity.require_same(header.identity, config.old, "give a store of the index's model with --from")
    if header.mapped is not None:
        problem = "its vectors were already mapped from another model"
        raise CosfaceError(problem, config.index, "migrate the index that it was made from")
    _require_new(config.out)
    matrix, quality = fit_map(faces, config.old, config.new)
    emit(Note(quality_sentence(quality, faces.new.model)))
    new = replace(
        header,
        engine=choice.product,
        uri=None,
        model=faces.new.model,
        model_id=faces.new.model_id,
        template=faces.new.template,
        flip=faces.new.flip,
        size=faces.new.size,
        segments=(),
        files={},
        stores=(),
        mapped={"model": header.model, "model_id": header.model_id, **asdict(quality)},
    )

    def rows() -> Iterator[RowBlock]:
        for segment in header.segments:
            for block in read_blocks(config.index, header, segment):
                yield replace(block, keys=mapped_keys(block.keys), vectors=mapped(block.vectors, matrix))
                emit(Done(str(config.index), count=len(block.keys)))

    atomic.make_folder(config.out)
    with atomic.lock(config.index / MAIN), atomic.lock(config.out / MAIN), atomic.write_errors(config.out):
        join_receipts([config.index], config.out)
        emit(Planned(header.rows))
        _write_new_index(config.out, [config.index], new, choice, rows, header.rows, emit)
    return MigrateReport(index=str(config.out), rows=header.rows, model=new.model, **asdict(quality))


def _write_new_index(
    root: Path,
    origins: Sequence[Path],
    new: IndexHeader,
    choice: SearchChoice,
    rows: Callable[[], Iterator[RowBlock]],
    count: int,
    emit: OnOutcome,
) -> None:
    """Write `count` rows to a new index folder, with the people of the indexes that they come from."""
    writer = SegmentWriter(root, new.size, choice, new.next_id, emit)
    write_changes(writer, new, new_rows=rows, count=count)
    for sentence in join(origins, root):
        emit(Note(sentence))
    publish_index_json(root, writer.header(new))


def _require_new(root: Path) -> None:
    if (root / MAIN).exists():
        raise CosfaceError("this index already exists", root, "give a new folder")
