"""Rows of one store, or of several stores of the same photos by different models, as photos to compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType

from cosface_cli.engines.models.ensemble import fuse_of, fused, joined_identity
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.options import flag_of
from cosface_cli.verify.compare import CompareConfig
from cosface_cli.verify.faces.source import EmbeddedPhoto
from cosface_cli.verify.faces.store import StoreFaces


class FusedStores:
    """The stores of a CompareConfig. They are open until the context ends."""

    def __init__(self, config: CompareConfig) -> None:
        """Raises CosfaceError for stores of one model or of different flips, and for options that only photos need."""
        for name in sorted(config.changed() & {"detector", "min_face", "workers"}):
            problem = f"{flag_of(CompareConfig, name)} has no effect on a store"
            raise CosfaceError(problem, config.stores[0], "leave it out")
        if config.faces == "center":
            raise CosfaceError(
                "--faces center is not known for a store, which does not record the size of photos",
                config.stores[0],
                "give --faces largest or all",
            )
        self._fuse = fuse_of(config.fuse, len(config.stores))
        with ExitStack() as opened:
            self.stores = [opened.enter_context(StoreFaces(path, config.faces)) for path in config.stores]
            first, *others = self.stores
            for store in others:
                if store.model.flip != first.model.flip:
                    problem = f"made with --flip {store.model.flip}, {first.path} with --flip {first.model.flip}"
                    raise ModelMismatch(problem, store.path, "embed both with the same --flip")
            self.model = joined_identity([store.model for store in self.stores], self._fuse)
            self._opened = opened.pop_all()

    def __enter__(self) -> FusedStores:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def __len__(self) -> int:
        """The number of faces in the first store."""
        return len(self.stores[0])

    def photos(self, names: Sequence[str]) -> Iterator[EmbeddedPhoto]:
        """Each of the photos once, in any order. A name is that in the store, or the path of the photo."""
        if len(self.stores) == 1:
            yield from _named_photos(self.stores[0], names)
            return
        by_store = [{photo.name: photo for photo in _named_photos(store, names)} for store in self.stores]
        for name in dict.fromkeys(names):
            yield self._joined([photos[name] for photos in by_store])

    def each_face(self) -> Iterator[EmbeddedPhoto]:
        """Every face of the first store by itself, joined with the same face in the other stores."""
        first, *others = self.stores
        for number, photo in first.each_face():
            yield self._joined([photo, *(store.face(photo.name, number) for store in others)])

    def _joined(self, photos: Sequence[EmbeddedPhoto]) -> EmbeddedPhoto:
        return replace(photos[0], vectors=fused([photo.vectors for photo in photos], self._fuse))


def _named_photos(store: StoreFaces, names: Sequence[str]) -> Iterator[EmbeddedPhoto]:
    by_source: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        source = store.find_path(name)
        if source is None:
            yield store.missing_photo(name)
        else:
            by_source.setdefault(source, []).append(name)
    for photo in store.photos(list(by_source)):
        for name in by_source[photo.name]:
            yield replace(photo, name=name)
