"""Files that jobs hand on, in Redis: who will read them, and when they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from conductor.adapters.redis.chains import lying_file_of, removable_file_of
from conductor.adapters.redis.client import translating
from conductor.adapters.redis.scripts import Scripts
from conductor.model.chains import LyingFile, RemovableFile

_pack = msgspec.msgpack.Encoder().encode


class RedisFiles:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def keep(self, readers: Mapping[str, Sequence[str]]) -> dict[str, str]:
        flat: list[bytes] = self._scripts.run(
            "keep", _pack({path: list(ids) for path, ids in readers.items()})
        )
        words = [word.decode() for word in flat]
        return dict(zip(words[0::2], words[1::2], strict=True))

    def removable(self, node: str, roots: Sequence[str]) -> dict[str, int]:
        if not roots:
            return {}
        with translating(self._scripts.client):
            fields = [f"{node}|{root}" for root in roots]
            sizes: list[bytes | None] = self._scripts.client.hmget(self._scripts.keys.removable_bytes, fields)  # pyright: ignore[reportAssignmentType]
        return {root: int(size) for root, size in zip(roots, sizes, strict=True) if size}

    def begin_removal(
        self, node: str, root: str = "", wanted: int = 0, most: int = 500
    ) -> tuple[RemovableFile, ...]:
        rows: list[bytes] = self._scripts.run("begin_removal", node, root, wanted, most)
        return tuple(sorted(map(removable_file_of, rows), key=lambda fact: fact.path))

    def gone(self, node: str, paths: Sequence[str]) -> None:
        if paths:
            self._scripts.run("begin_removal", node, "", 0, 0, *paths)

    def lying(self, paths: Sequence[str]) -> tuple[LyingFile, ...]:
        rows: list[bytes] = self._scripts.run("lying", *paths) if paths else []
        return tuple(map(lying_file_of, rows))
