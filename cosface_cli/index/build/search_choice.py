"""The search engine of the segments of an index, and the recall that it is tuned for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cosface_cli.artifacts.index.index_folder import IndexHeader, Segment
from cosface_cli.engines.search import AUTO, RECALL, SEARCHERS, engine_for, products, rows_of, search_row
from cosface_cli.errors import CosfaceError
from cosface_cli.registry import require_one_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchChoice:
    """How the segments of an index will be searched."""

    product: str
    """The value of --engine, see SearchRow.product."""
    search: str = AUTO
    """A row of SEARCHERS, or AUTO: by the number of rows."""
    uri: str | None = None
    """The server, for a product that has one."""
    recall: float = RECALL
    """The recall that an approximate engine is tuned for, see RECALL."""

    @staticmethod
    def of(
        search: str = AUTO, recall: float = RECALL, engine: str | None = None, uri: str | None = None
    ) -> SearchChoice:
        """The choice by the values of options. engine: None for the first product.

        Raises CosfaceError for options that do not go together, and if a package that the engine needs is missing.
        """
        engine = engine or products()[0]
        require_one_of(engine, products(), "--engine")
        rows = rows_of(engine)
        needs_uri = any(row.needs_uri for row in rows)
        if needs_uri and uri is None:
            raise CosfaceError(f"--engine {engine} needs --uri", hint=f"add --engine {engine} --uri http://HOST:PORT")
        if uri is not None and not needs_uri:
            raise CosfaceError(f"--uri has no effect with --engine {engine}", hint="leave out --uri, or add --engine")
        if needs_uri:
            if search != AUTO:
                raise CosfaceError(f"--search has no effect with --engine {engine}", hint="leave out --search")
            for row in rows:
                SEARCHERS.load(row.name)  # a missing package is reported before any work
        else:
            require_one_of(search, (AUTO, *(row.name for row in rows)), "--search")
            if search != AUTO and not search_row(search).approximate and recall != RECALL:
                problem = f"--search {search} is exact, so --recall has no effect"
                raise CosfaceError(problem, hint="leave one of them out")
        return SearchChoice(product=engine, search=search, uri=uri, recall=recall)

    def for_rows(self, rows: int) -> str:
        """The row of SEARCHERS for a segment with this many rows."""
        return engine_for(rows, self.product, self.search)

    def as_in(self, segment: Segment) -> SearchChoice:
        """The choice that a segment was written with."""
        return replace(self, search=segment.search, recall=segment.settings.get("recall_wanted", self.recall))

    def differs_from(self, header: IndexHeader) -> bool:
        """Whether an index is searched in another way, or tuned for another recall."""
        return (header.engine, header.uri) != (self.product, self.uri) or any(
            segment.search != self.for_rows(segment.rows)
            or segment.settings.get("recall_wanted", self.recall) != self.recall
            for segment in header.segments
        )
