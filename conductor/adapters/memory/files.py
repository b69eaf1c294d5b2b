"""Files that jobs hand on, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from conductor.adapters.memory.store import Store
from conductor.core.chains.chains import root_of
from conductor.model.chains import LyingFile, RemovableFile


class MemoryFiles:
    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, readers: Mapping[str, Sequence[str]]) -> dict[str, str]:
        with self._store.lock:
            return self._store.chains.keep(readers)

    def removable(self, node: str, roots: Sequence[str]) -> dict[str, int]:
        with self._store.lock:
            facts = [fact for where, fact in self._store.chains.removable.values() if where == node]
            sums = {root: sum(fact.bytes for fact in facts if root_of(fact.path) == root) for root in roots}
            return {root: size for root, size in sums.items() if size}

    def begin_removal(
        self, node: str, root: str = "", wanted: int = 0, most: int = 500
    ) -> tuple[RemovableFile, ...]:
        with self._store.lock:
            return self._store.chains.take(node, root, wanted, most)

    def gone(self, node: str, paths: Sequence[str]) -> None:
        with self._store.lock:
            self._store.chains.removed(node, paths)
            if paths:
                self._store.ring()

    def lying(self, paths: Sequence[str]) -> tuple[LyingFile, ...]:
        with self._store.lock:
            return self._store.chains.lying(paths)
