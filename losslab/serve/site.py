"""What all pages share: the catalog, the logs, and what was computed once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request

from losslab.records.index import Row
from losslab.serve.catalog import Catalog
from losslab.serve.folder import SERVED, Folder, spoken
from losslab.serve.folding import Condition, fold
from losslab.serve.frame import Gone
from losslab.serve.logs import Logs
from losslab.words import both_ends, nearest

MOST_KEPT = 32  # results
LONGEST_NAME = 4_096  # characters of an arm: a formula has at most so many


@dataclass
class _Work:
    """What is computed now, and for how many askers."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    askers: int = 0


@dataclass
class Site:
    """One served folder."""

    catalog: Catalog
    logs: Logs = field(default_factory=Logs)
    allow_writes: bool = False
    is_closing: bool = False
    """Whether the server ends, and streams with it."""
    _kept: OrderedDict = field(default_factory=OrderedDict)
    _at_work: dict = field(default_factory=dict)
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

    @property
    def has_several(self) -> bool:
        """Whether runs lie in several stores, so that a condition alone does not say which are meant."""
        return sum(bool(each.rows) and each.kind != "trials" for each in self.catalog.stores()) > 1

    def store(self, name: str) -> Folder | None:
        """The store that an address names; None where it names none.

        Raises:
            Gone: where there is no such store, with the nearest that there is.
        """
        if not name:
            return None
        if found := self.catalog.store("" if name == SERVED else name):
            return found
        known = [spoken(each) for each in self.catalog.stores()]
        raise Gone(f"there is no store {name[:80]} here{nearest(name, known)}; those that there are: "
                   f"{', '.join(known)[:300] or 'none yet'}")

    def same(self, key: str, store: Folder | None = None) -> list[Condition]:
        """The condition of a digest, name or place in every store that holds it; that of the given store first.

        Raises:
            Gone: where the given store, or none, holds it.
        """
        found = [one for one in self.conditions() if key in one.names]
        if not any(store is None or one.store.name == store.name for one in found):
            return self.chosen([key], store)  # which says so
        return sorted(found, key=lambda one: store is not None and one.store.name != store.name)

    def chosen(self, keys: Sequence[str], store: Folder | None = None) -> list[Condition]:
        """The conditions of these digests, names or places, in this order.

        Args:
            keys: of which each is of one store: the one that is given, or that has all of them.
            store: where they are; None where the address does not say.

        Raises:
            Gone: for one that does not exist, with the nearest that does; for one that several stores hold.
        """
        every = [one for one in self.conditions() if store is None or one.store.name == store.name]
        held: dict[str, set[str]] = {}
        for one in every:
            held.setdefault(one.store.name, set()).update(one.names)
        whole = [name for name, known in held.items() if known.issuperset(keys)]
        if len(whole) == 1:
            every = [one for one in every if one.store.name == whole[0]]  # the ledger of one store counts looks
        found: dict[str, Condition] = {}
        for key in keys:
            same = [one for one in every if key in one.names]
            if not same:
                hint = nearest(key, [name for one in every[:5_000] for name in (one.name, one.key)])
                where = f" in {spoken(store)[:80]}" if store else ""
                raise Gone(f"there is no condition {key[:80]}{where}{hint}; the list of runs has "
                           "those that there are")
            if len(stores := list(dict.fromkeys(spoken(one.store) for one in same))) > 1:
                which = "say which is meant" if whole else f"name it with its store, such as {same[0].place[:80]}"
                raise Gone(f"{both_ends(same[0].name, 80)} lies in several stores, and each has its own runs: "
                           f"{', '.join(stores)[:200]}; {which}", 400,
                           [(f"that of {name or 'the served folder'}", {"store": name or SERVED}) for name in whole])
            found |= {one.place: one for one in same}
        _check_one_store_each(found.values())
        return list(found.values())

    def once(self, key, compute: Callable):
        """What `compute` gives, computed once for a key; the oldest results are forgotten.

        Who asks for a key that is being computed waits for it: the same work several times at once would take as many
        times as long.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            own = self._at_work.setdefault(key, _Work())
            own.askers += 1
        try:
            with own.lock:
                with self._lock:
                    if key in self._kept:
                        return self._kept[key]
                value = compute()
                with self._lock:
                    self._kept[key] = value
                    while len(self._kept) > MOST_KEPT:
                        self._kept.popitem(last=False)
                return value
        finally:
            with self._lock:
                own.askers -= 1
                if not own.askers:
                    del self._at_work[key]


def _check_one_store_each(found: Iterable[Condition]) -> None:
    """An arm is a condition: the runs of two stores would be thrown together in it."""
    seen: dict[str, Condition] = {}
    for one in found:
        if (other := seen.setdefault(one.key, one)) is not one:
            raise Gone(f"{both_ends(one.name, 80)} is chosen from two stores, {spoken(other.store)[:80]} and "
                       f"{spoken(one.store)[:80]}, and would be one arm; choose it from one of them", 400)


def of(request: Request) -> Site:
    return request.app.state.site


def parameter(request: Request, name: str, default: str = "") -> str:
    """A value of the query, cut to what any of them needs."""
    return request.query_params.get(name, default)[:2_000]


def listed(request: Request, name: str) -> list[str]:
    """The values of a parameter that may be repeated, or hold several between commas."""
    every = [part for value in request.query_params.getlist(name) for part in value.split(",")]
    return list(dict.fromkeys(part.strip()[:200] for part in every if part.strip()))[:200]


def arms(request: Request) -> list[str]:
    """The conditions that the address names: repeated, or several between commas that stand in no bracket."""
    known = {name for one in of(request).conditions() for name in one.names}
    every = [part for value in request.query_params.getlist("arms")
             for part in ([value] if value in known else _split(value))]
    return list(dict.fromkeys(part.strip()[:LONGEST_NAME] for part in every if part.strip()))[:200]


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth = max(0, depth + (sign in "([{") - (sign in ")]}"))
        if sign == "," and not depth:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]
