"""The conductor's only writes, fenced by the leader's epoch: admit, and the gate ledger."""

from __future__ import annotations

import time
from collections.abc import Sequence
from operator import attrgetter
from typing import cast

import msgspec

from conductor.adapters.redis.attempts import ms
from conductor.adapters.redis.calls import CALLS_AT_ONCE
from conductor.adapters.redis.client import MAX_BLOCK_S, translating
from conductor.adapters.redis.codec.row_cache import KnownRows
from conductor.adapters.redis.codec.rows import heads_asked, row_of
from conductor.adapters.redis.scripts import Call, Scripts
from conductor.adapters.rq import envelope
from conductor.core.admission.successors import STANDS_S
from conductor.model.decision import Admission, GateLedger, StandingOffer, Successor
from conductor.model.snapshot import Lookahead, Reservation

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_to_json = msgspec.json.Encoder().encode
_gates = msgspec.json.Decoder(GateLedger)
_reservation = msgspec.json.Decoder(Reservation)
_by_age = attrgetter("admitted_at", "job_id")


class RedisHandover:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._redis, self._keys = scripts.client, scripts.keys
        self._known = KnownRows(_reservation.decode)

    def admit(
        self,
        epoch: int,
        admissions: Sequence[Admission],
        successors: Sequence[Successor] = (),
        seen: int | None = None,
        looked_at: float | None = None,
    ) -> tuple[str | None, ...]:
        """Without admissions, successors or `seen` there is nothing to say."""
        if not (admissions or successors or seen is not None):
            return ()
        rows = [row_of(a.reservation, a.ceilings) for a in admissions]
        named = [
            [h.predecessor, h.attempt, row_of(h.admission.reservation, h.admission.ceilings)]
            for h in successors
        ]
        # RQ's compressed bytes go beside the message: the server's msgpack knows no binary.
        held = [a.reservation for a in (*admissions, *(successor.admission for successor in successors))]
        data = (envelope.data(r.job_id, r.attempt) for r in held)
        asked = [-1 if seen is None else seen, -1 if looked_at is None else ms(looked_at)]
        head = [epoch, envelope.constant_fields(), rows, named, ms(STANDS_S), *asked]
        answers = self._scripts.run("admit", _pack(head), *data)
        return tuple(answer.decode() or None for answer in answers)

    def offer(self, epoch: int, offers: Sequence[StandingOffer], seen: int) -> None:
        rows = [[o.class_id, row_of(o.admission.reservation, o.admission.ceilings)] for o in offers]
        self._scripts.run("offer", _pack([epoch, envelope.constant_fields(), rows, ms(STANDS_S), seen]))

    def successions(self) -> tuple[int, int]:
        so_far, named = self._scripts.run("successions")
        return so_far, named

    def early_successions(self) -> int:
        with translating(self._redis):
            return int(cast(bytes | None, self._redis.get(self._keys.early_successions)) or 0)

    def reservations(self) -> tuple[Reservation, ...]:
        """The eldest first."""
        return tuple(sorted(self._known.read(self._scripts.run("reservations")), key=_by_age))

    def queued(self) -> dict[str, int]:
        flat = _unpack(self._scripts.run("queued"))
        return dict(zip(flat[0::2], flat[1::2], strict=True))

    def task_durations(self) -> dict[str, float]:
        flat = _unpack(self._scripts.run("task_durations"))
        return {task: float(seconds) for task, seconds in zip(flat[0::2], flat[1::2], strict=True)}

    def ask_ahead(
        self, look: Lookahead, admitted_grace_s: float, lead: tuple[str, float] | None = None
    ) -> None:
        self._scripts.ask_ahead(self._of_a_tick(look, admitted_grace_s, lead))

    def ask_when_rung(
        self, timeout_s: float, look: Lookahead, admitted_grace_s: float, lead: tuple[str, float]
    ) -> bool:
        calls, end = self._of_a_tick(look, admitted_grace_s, lead), time.monotonic() + timeout_s
        # In slices, so that a dead connection is noticed. 0 would mean for ever.
        while (left := end - time.monotonic()) > 0:
            if self._scripts.ask_when_rung(self._keys.bell, max(0.001, min(left, MAX_BLOCK_S)), calls):
                return True
        return False

    def _of_a_tick(
        self, look: Lookahead, admitted_grace_s: float, lead: tuple[str, float] | None
    ) -> tuple[Call, ...]:
        shown = heads_asked(look)
        return (
            *(() if lead is None else (("lead", (lead[0], ms(lead[1]), self._scripts.seen)),)),
            ("successions", ()),
            ("orphans", (ms(admitted_grace_s),)),
            ("pulse", ()),
            ("candidates", (shown,)),
            ("queued", ()),
            ("live", ()),
            ("now", ()),
            ("reservations", ()),
            ("breaker_states", ()),
            *(maker(shown) for maker in self._scripts.also_ahead),
            ("calls", (CALLS_AT_ONCE,)),
            ("closings", ()),
            ("endpoint_fault_states", ()),
            ("rate_records", ()),
            ("controls", ()),
            ("task_durations", ()),
        )

    def record_gates(self, epoch: int, gates: GateLedger) -> None:
        self._scripts.run("record_gates", epoch, _to_json(gates))

    def gates(self) -> GateLedger:
        with translating(self._redis):
            text = cast(bytes | None, self._redis.get(self._keys.gate_ledger))
        try:
            return GateLedger() if text is None else _gates.decode(text)
        except msgspec.ValidationError:
            # An earlier version wrote it in another form; the next tick replaces it.
            return GateLedger()
