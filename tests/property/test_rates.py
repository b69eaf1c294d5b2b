"""However calls come and end: in no window are more called than the limit; nothing of a budget is lost or
made up.
"""

from __future__ import annotations

from itertools import count
from typing import Literal

from builders import a_reservation
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.memory import memory_ledger
from conductor.adapters.rates.rate_store import MemoryRateStore
from conductor.adapters.rates.rates import LimitsRates
from conductor.analysis.simulation.rates import ManualLog
from conductor.base.settings.endpoint_settings import Rate
from conductor.core.rates.quota import TRANSIT_S
from conductor.model.calls import Call
from conductor.model.snapshot import RateState, Reservation

Step = tuple[Literal["wait", "take", "start", "send", "ok", "gone", "uncalled"], float]
WORDS = ("wait", "take", "take", "start", "start", "send", "send", "ok", "gone", "uncalled")
steps = st.lists(st.tuples(st.sampled_from(WORDS), st.floats(0, 40)), min_size=20, max_size=80)
LIMIT, TOKENS, USD = 2, 5000, 3.0


class Play:
    def __init__(self) -> None:
        self.clock = ManualClock(1_700_000_000.0)
        self.calls = memory_ledger(self.clock).calls
        budgets = {"api": Rate(requests_per_min=LIMIT, tokens_per_min=TOKENS, usd_per_day=USD)}
        self.rates = LimitsRates(
            ManualLog(self.clock), MemoryRateStore(), self.calls, budgets, self.clock, prices={"api": 0.0005}
        )
        self.active: dict[str, Reservation] = {}
        self.ids = count()
        self.called: dict[str, float] = {}
        #: When the server counted each: at once, or as late as it may.
        self.counted: list[tuple[float, float]] = []
        self.spent = 0.0

    def state(self) -> RateState:
        return self.rates.states(self.clock.now(), tuple(self.active.values()))[0]

    def do(self, what: str, amount: float) -> None:
        self.clock.advance(amount if what == "wait" else 0.01)
        state = self.state()
        assert (state.tokens_left or 0) >= 0
        assert (state.usd_left or 0.0) >= -1e-9
        if what == "take":
            has_room = (state.requests_left or 0) >= 1 and (state.tokens_left or 0) >= 300
            if has_room and (state.usd_left or 0.0) >= 300 * state.usd_per_token:
                self.take()
        elif what != "wait":
            self.end(what, amount)

    def take(self) -> None:
        job_id = f"job-{next(self.ids):08d}"
        self.rates.take(job_id, 1, "api", 1, 300)
        self.active[job_id] = a_reservation(job_id, lane="cloud", state="admitted")

    def end(self, what: str, amount: float) -> None:
        """A body starts, sends its call whenever it likes, and has its answer later; or it ends in another
        way.
        """
        if what in ("start", "send", "uncalled"):
            wanted = "admitted" if what == "start" else "running"
            found = next(
                (r for r in self.active.values() if r.state == wanted and r.job_id not in self.called), None
            )
        else:
            found = next((r for r in self.active.values() if r.job_id in self.called), None)
        if found is None:
            return
        if what == "start":
            self.active[found.job_id] = a_reservation(found.job_id, lane="cloud", state="running")
        elif what == "send":
            self.called[found.job_id] = self.clock.now()
        else:
            now, sent = self.clock.now(), self.called.get(found.job_id)
            if sent is not None:
                self.counted.append((sent, min(now, sent + TRANSIT_S)))
            if what == "ok":
                tokens = int(amount * 7)
                self.spent += tokens * 0.0005
                call = Call(
                    key="api",
                    outcome="ok",
                    job_id=found.job_id,
                    attempt=1,
                    tokens=tokens,
                    usd=tokens * 0.0005,
                )
                self.calls.tell_calls((replace(call, took_s=now - (sent or now)),))
            elif what == "uncalled":
                self.calls.tell_calls((Call(key="api", outcome="uncalled", job_id=found.job_id, attempt=1),))
            else:
                self.spent += 300 * 0.0005
            del self.active[found.job_id]
        self.state()


#: One that began more than a window ago says that it called nobody.
LATE: list[Step] = [
    *(("take", 0.0), ("start", 0.0), ("wait", 21.0), ("wait", 40.0), ("take", 0.0), ("take", 0.0)),
    *(("start", 0.0), ("uncalled", 0.0), ("take", 0.0), ("start", 0.0), ("start", 0.0)),
]
#: One whose body takes long to begin: its call meets those that were handed out a window later.
SLOW: list[Step] = [
    *(("take", 0.0), ("start", 0.0), ("take", 0.0), ("start", 0.0), ("wait", 40.0), ("wait", 25.0)),
    *(
        ("send", 0.0),
        ("send", 0.0),
        ("take", 0.0),
        ("start", 0.0),
        ("send", 0.0),
        ("ok", 1.0),
        ("ok", 1.0),
        ("ok", 1.0),
    ),
]


@example(steps=LATE)
@example(steps=SLOW)
@given(steps=steps)
@settings(max_examples=60, deadline=None)
def test_never_more_than_the_limit_in_any_window_and_every_cent_is_counted(steps: list[Step]):
    play = Play()
    for what, amount in steps:
        play.do(what, amount)

    now = play.clock.now()
    under_way = [(at, at) for job_id, at in play.called.items() if job_id in play.active]
    for at in zip(*play.counted, *under_way, strict=True):
        assert all(sum(one <= other < one + 60 for other in at) <= LIMIT for one in at), now
    left = play.state().usd_left
    assert left is not None
    assert left <= USD - play.spent + 1e-6
    assert play.active or abs(left - (USD - play.spent)) < 1e-5
