"""The index that a build starts from: the one in the folder, or an empty one."""

from __future__ import annotations

from dataclasses import replace

from cosface_cli.artifacts.index.index_folder import MAIN, IndexHeader, read_header, require_whole
from cosface_cli.artifacts.store.store_file import StoreHeader
from cosface_cli.errors import DamagedError
from cosface_cli.index import AddConfig, BuildConfig
from cosface_cli.index.build.search_choice import SearchChoice
from cosface_cli.outcomes import Note, OnOutcome


def index_to_add_to(config: AddConfig, stores: StoreHeader, choice: SearchChoice) -> IndexHeader:
    """The index of the folder, an empty one if there is none.

    Raises ModelMismatch if it holds another model's embeddings, DamagedError if it is damaged.
    """
    if not (config.index / MAIN).is_file():
        return empty_index(stores, choice)
    header = read_header(config.index)
    require_whole(config.index, header)
    _require_model(header, stores, config)
    return header


def index_to_update(config: BuildConfig, stores: StoreHeader, choice: SearchChoice, emit: OnOutcome) -> IndexHeader:
    """The index of the folder if its segments can be reused; else an empty one, and all rows are written again.

    Raises ModelMismatch if it holds another model's embeddings.
    """
    empty = empty_index(stores, choice)
    if config.fresh or not (config.index / MAIN).is_file():
        return empty
    try:
        header = read_header(config.index)
        require_whole(config.index, header)
    except DamagedError as error:
        emit(Note(f"{error.path}: {error.problem}; the index is built again from all rows"))
        return empty
    _require_model(header, stores, config)
    return replace(empty, next_id=header.next_id) if choice.differs_from(header) else header


def empty_index(stores: StoreHeader, choice: SearchChoice) -> IndexHeader:
    """The header of an index without rows, for the model of these stores."""
    return IndexHeader(
        engine=choice.product,
        model=stores.model,
        model_id=stores.model_id,
        template=stores.template,
        flip=stores.flip,
        size=stores.size,
        rows=0,
        next_id=0,
        segments=(),
        files={},
        stores=(),
        uri=choice.uri,
    )


def _require_model(header: IndexHeader, stores: StoreHeader, config: AddConfig) -> None:
    hint = f"the index {config.index} is of that model: give a new folder, or replace it with index build --fresh"
    stores.identity.require_same(header.identity, config.stores[0], hint)
