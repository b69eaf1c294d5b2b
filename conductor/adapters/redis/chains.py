"""Files and waiting, as a tick sees them. Of a chain that did not change since the last tick only who it
is is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from conductor.adapters.redis.scripts import Call, Scripts
from conductor.core.chains.chains import Members
from conductor.model.chains import Chain, ChainStates, FileJob, LyingFile, RecentWrite, RemovableFile

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_file_job = msgspec.json.Decoder(FileJob).decode
_made = msgspec.json.Decoder(dict[str, str]).decode


class KnownChain:
    def __init__(self) -> None:
        self.rev = ""
        self.members = Members()
        self.letters = ""
        self.made: dict[str, int] = {}
        #: Path → where it lies.
        self.where: dict[str, str] = {}
        self.node: str | None = None
        self.chain: Chain | None = None

    def learn(self, row: Sequence[Any]) -> None:
        """`row` as `chain_states.lua` has it: with all of it, or only who it is."""
        number, node, rev, *rest = row
        self.rev, moved, self.node = rev, (node or None) != self.node, node or None
        if rest:
            fresh, self.letters, made = rest
            self.members.add(_file_job(text) for text in fresh)
            facts = [_made(text) for text in made[1::2]]
            self.made = {fact["path"]: int(fact["bytes"]) for fact in facts}
            self.where = {fact["path"]: fact["node"] for fact in facts}
        if rest or moved:
            self.chain = self.members.as_chain(number, self.letters, self.node, self.made, self.where)


class RedisChains:
    """Remembers the chains of the last tick. One per process that ticks."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._known: dict[str, KnownChain] = {}
        self._created_ms = ""
        self._ahead: Call | None = None
        scripts.also_ahead.append(self.ahead)

    def ahead(self, asked: bytes) -> Call:
        """What `read` will ask about the heads that `candidates` shows at that instant."""
        self._ahead = ("chain_states", (_pack([False, self._flat()]), asked))
        return self._ahead

    def _flat(self) -> list[Any]:
        return [
            word for number, known in self._known.items() for word in (number, known.rev, len(known.members))
        ]

    def read(self, heads: Sequence[str]) -> ChainStates:
        ahead, self._ahead = self._ahead, None
        told = self._scripts.run_as(ahead, "chain_states", _pack([list(heads), self._flat()]))
        created_ms, longest_ms, written, rows = _unpack(told)
        if created_ms != self._created_ms:
            is_news, self._created_ms = bool(self._created_ms or self._known), created_ms
            self._known = {}
            if is_news:
                # Redis was emptied meanwhile: numbers start again, what was said to be known is another's.
                return self.read(heads)
        known = {row[0]: self._known.get(row[0]) or KnownChain() for row in rows}
        for row in rows:
            known[row[0]].learn(row)
        self._known = known
        chains = (known[row[0]].chain for row in sorted(rows, key=lambda row: int(row[0])))
        return ChainStates(
            chains=tuple(chain for chain in chains if chain is not None),
            written=tuple(written_of(text) for text in written),
            longest_wait_s=longest_ms / 1000,
        )


def written_of(text: str) -> RecentWrite:
    at, node, root, size = text.split("|")
    return RecentWrite(node=node, root=root, bytes=int(size), at=int(at) / 1000)


def removable_file_of(text: bytes) -> RemovableFile:
    fact = _made(text)
    return RemovableFile(
        path=fact["path"], job_id=fact["job_id"], attempt=int(fact["attempt"]), bytes=int(fact["bytes"])
    )


def lying_file_of(text: bytes) -> LyingFile:
    fact = _made(text)
    return LyingFile(
        path=fact["path"],
        node=fact["node"],
        job_id=fact["job_id"],
        attempt=int(fact["attempt"]),
        bytes=int(fact["bytes"]),
    )
