"""What all pages share: the catalog, the logs, and what was computed once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request

from losslab.records.index import Row
from losslab.serve.catalog import Catalog
from losslab.serve.folder import Folder
from losslab.serve.folding import Condition, fold
from losslab.serve.frame import Gone
from losslab.serve.logs import Logs
from losslab.words import nearest

MOST_KEPT = 32  # results of each kind


@dataclass
class Site:
    """One served folder."""

    catalog: Catalog
    logs: Logs = field(default_factory=Logs)
    allow_writes: bool = False
    is_closing: bool = False
    """Whether the server ends, and streams with it."""
    _kept: OrderedDict = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def root(self) -> Path:
        return self.catalog.root

    def conditions(self, store: Folder | None = None) -> list[Condition]:
        """The conditions of a store, or of all stores but those of tuning; folded once for each change."""
        self.catalog.refresh()
        name = None if store is None else store.name
        return self.once(("conditions", name, self.catalog.version),
                         lambda: fold(self.catalog.rows(None if store is None else [store])))

    def run(self, address: str) -> tuple[Folder, Row]:
        """The run at an address.

        Raises:
            Gone: where there is none, or none any more.
        """
        self.catalog.refresh()
        if found := self.catalog.run(address):
            return found
        raise Gone(f"there is no run {address[:120]}; it may have been removed or renamed, and the list of runs has "
                   "those that there are")

    def chosen(self, keys: Sequence[str], store: str = "") -> list[Condition]:
        """The conditions of these digests, or names, in this order; one of several stores where none is named.

        Raises:
            Gone: for one that does not exist, with the nearest that does.
        """
        every = [one for one in self.conditions() if not store or one.store.name == store]
        held: dict[str, set[str]] = {}
        for one in every:
            held.setdefault(one.store.name, set()).update((one.key, one.name))
        if (whole := next((name for name, known in held.items() if known.issuperset(keys)), None)) is not None:
            every = [one for one in every if one.store.name == whole]  # the ledger of one store counts looks
        found = []
        for key in keys:
            same = [one for one in every if key in (one.key, one.name)]
            if not same:
                hint = nearest(key, [name for one in every[:5_000] for name in (one.name, one.key)])
                raise Gone(f"there is no condition {key[:80]}{f' in {store[:80]}' if store else ''}{hint}; the list of "
                           "runs has those that there are")
            found += [one for one in same if one not in found]
        return found

    def once(self, key, compute: Callable):
        """What `compute` gives, computed once for a key; the oldest results are forgotten."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = compute()
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return value


def of(request: Request) -> Site:
    return request.app.state.site


def parameter(request: Request, name: str, default: str = "") -> str:
    """A value of the query, cut to what any of them needs."""
    return request.query_params.get(name, default)[:2_000]


def listed(request: Request, name: str) -> list[str]:
    """The values of a parameter that may be repeated, or hold several between commas."""
    every = [part for value in request.query_params.getlist(name) for part in value.split(",")]
    return list(dict.fromkeys(part.strip()[:200] for part in every if part.strip()))[:200]
