"""The life of one attempt in Redis, fenced by its number: start, renew, accept, fail, rescue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from conductor.adapters.redis.backlog import MESSAGE_CHARS, failures_of, written_text
from conductor.adapters.redis.client import MAX_BLOCK_S, translating
from conductor.adapters.redis.codec.rows import row_of
from conductor.adapters.redis.reviews import asked_text
from conductor.adapters.redis.scripts import Scripts
from conductor.adapters.rq import envelope
from conductor.core.failures.failure_counts import fingerprint, same_place
from conductor.model.failure_outcome import Dead, Retry
from conductor.model.ledger_entries import (
    TOLD,
    AdoptAnswer,
    FinishAnswer,
    HeldReport,
    Preloaded,
    RenewalFacts,
    Renewed,
    RollCall,
    Started,
    Turned,
    WorkerTurn,
)
from conductor.model.receipt import Receipt
from conductor.model.snapshot import JobClass, Reservation

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_class_to_json = msgspec.json.Encoder(order="deterministic").encode
_job_class = msgspec.json.Decoder(JobClass)
_reservation = msgspec.json.Decoder(Reservation)
_reservations = msgspec.json.Decoder(tuple[Reservation, ...])


class RedisAttempts:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def start(self, job_id: str, attempt: int, worker: str, lease_s: float) -> Started:
        return started_of(_unpack(self._scripts.run("start", job_id, attempt, worker, ms(lease_s))))

    def turn(self, turn: WorkerTurn) -> Turned:
        return turned_of(self._scripts.run("turn", turn_row(turn)))

    def take(self, turn: WorkerTurn, limit_s: float) -> tuple[bytes | None, Turned | None]:
        """Waits for an entry of the turn's queue, moves it into the worker's hand, and has the turn at once:
        the server goes on by itself, nobody has to wake up first to ask. The entry (None: none came), and
        what became of the turn; None where it has to be asked for again, with the same number.

        Of a client that repeats nothing by itself. Raises `Unreachable`: both may have happened all the same.
        """
        keys = self._scripts.keys
        move = ("BLMOVE", keys.rq_queue(turn.queue), keys.prefetched(turn.worker), "LEFT", "RIGHT", limit_s)
        entry, reply = self._scripts.run_behind(move, "turn", turn_row(turn))
        return entry, None if reply is None else turned_of(reply)

    def next_preloaded(self, worker: str, timeout_s: float) -> Preloaded | RollCall | None:
        client, key = self._scripts.client, self._scripts.keys.successor_feed(worker)
        with translating(client):
            # BLPOP takes 0 for ever.
            found = (
                client.blpop([key], timeout=min(timeout_s, MAX_BLOCK_S))
                if timeout_s > 0
                else (key, client.lpop(key))
            )
        text = cast(tuple[object, bytes | None] | None, found)
        if text is None or text[1] is None:
            return None
        word = _unpack(text[1])
        if not word:
            return RollCall()
        predecessor, of_attempt, job_id, attempt, row = word
        return Preloaded(
            predecessor=predecessor,
            of_attempt=of_attempt,
            job_id=job_id,
            attempt=attempt,
            successor=started_of(row) if row else None,
        )

    def renew(self, worker: str, lease_s: float, held: Sequence[HeldReport], seen: int = 0) -> Renewed:
        rows = [[each.job_id, each.attempt, members_of(each)] for each in held]
        step, *answers = self._scripts.run("renew", _pack([worker, ms(lease_s), seen, rows]))
        return Renewed(answers=tuple(answer.decode() for answer in answers), step=step)

    def adopt(self, reservation: Reservation, worker: str, lease_s: float) -> AdoptAnswer:
        job_id, attempt, queue, text, amounts, _, description, node = row_of(reservation, {})
        head = [job_id, attempt, worker, ms(lease_s), envelope.constant_fields()]
        data = envelope.data(job_id, attempt)
        answer = self._scripts.run("adopt", _pack([*head, queue, text, amounts, description, node]), data)
        return cast(AdoptAnswer, answer.decode())

    def accept(self, receipt: Receipt) -> FinishAnswer:
        answer = self._scripts.run("accept", *done_row(receipt))
        return cast(FinishAnswer, answer.decode())

    def fail(self, receipt: Receipt, then: Retry | Dead) -> FinishAnswer:
        cause = receipt.cause or "task_error"
        alike_in = fingerprint(cause, receipt.message, isinstance(then, Dead))
        answer = self._scripts.run(
            "fail",
            receipt.job_id,
            receipt.attempt,
            cause,
            receipt.message[:MESSAGE_CHARS],
            *verdict(then),
            alike_in,
            receipt.code_version,
            same_place(alike_in, cause, receipt.raised_at),
        )
        return cast(FinishAnswer, answer.decode())


def started_of(row: list[Any]) -> Started:
    line, reservation, fails, descriptor = row
    return Started(
        line=line.encode(),
        reservation=_reservation.decode(reservation),
        failures=failures_of(dict(zip(fails[0::2], fails[1::2], strict=True))),
        job_class=_job_class.decode(descriptor),
    )


def members_of(report: HeldReport) -> str:
    """What a renewal adds to the reservation: JSON members with a leading comma."""
    if not report.is_telling:
        return ""
    told = RenewalFacts(**{name: getattr(report, name) for name in TOLD})
    return "," + msgspec.json.encode(told)[1:-1].decode()


def turn_row(turn: WorkerTurn) -> bytes:
    """What turn.lua is told."""
    done = [done_row(receipt) for receipt in turn.done]
    in_hand = [f"{job_id}-a{attempt}" for job_id, attempt in turn.in_hand]
    head = [turn.worker, turn.queue, ms(turn.lease_s), turn.number, done, turn.returned, in_hand]
    begun = [(b.predecessor, b.of_attempt, b.job_id, b.attempt) for b in turn.begun]
    not_begun = [(b.predecessor, b.job_id, b.attempt) for b in turn.not_begun]
    wish = [turn.most, turn.budget_s, turn.task_durations, turn.is_idle, turn.news, turn.is_from_hand]
    return _pack([*head, *wish, begun, not_begun, turn.seen])


def turned_of(reply: bytes) -> Turned:
    answers, started, over, refused, step, is_open = _unpack(reply)
    entries = (entry.rpartition("-a") for entry in over)
    return Turned(
        answers=tuple(answers),
        started=tuple(map(started_of, started)),
        over=tuple((job_id, int(attempt)) for job_id, _, attempt in entries),
        refused=tuple((job_id, attempt) for job_id, attempt in refused),
        step=step,
        is_closed=not is_open,
    )


def done_row(receipt: Receipt) -> list[Any]:
    """What `accept_one` of attempts.lua is told of a receipt."""
    written = written_text(receipt.node, {fact.path: fact.bytes for fact in receipt.outputs})
    shown = asked_text(receipt.review) if receipt.outcome == "review" and receipt.review else ""
    return [receipt.job_id, receipt.attempt, receipt.code_version, written, receipt.token, shown]


def ms(seconds: float) -> int:
    return round(seconds * 1000)


def verdict(then: Retry | Dead) -> tuple[str, int, str, bytes]:
    if isinstance(then, Dead):
        return "dead", 0, "", b""
    word = "free" if then.is_free else "retry"
    if then.job_class is None:
        return word, ms(then.delay_s), "", b""
    return word, ms(then.delay_s), then.job_class.id, _class_to_json(then.job_class)


def reservations_of(text: bytes) -> tuple[Reservation, ...]:
    """The eldest first."""
    return tuple(sorted(_reservations.decode(text), key=lambda r: (r.admitted_at, r.job_id)))
