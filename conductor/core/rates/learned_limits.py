"""What answers teach about an API's limit: how many calls a window it really allows, and when to try for
more.

Pure. Nothing is known of the server's own rule; three are told apart by what its 429s look like: so many in
any window (sliding), so many from one full window to the next (fixed), so many a second with a reserve (a
token bucket).
"""

from __future__ import annotations

import math

from msgspec.structs import replace

from conductor.model.spec import Value

#: 429s earned by a call that was accepted: what probing may cost. The rest of one per cent is for limits that
#: fall.
EARNED = 0.008
#: Earned and not spent: at most so many, so that a long quiet time does not end in a burst of probes.
MOST_EARNED = 2.0
#: What falling limits cost is paid back by probing less, up to so many 429s.
MOST_OWED = -1.5
#: One burst of 429s takes at most three quarters of a limit: they may as well come from a hiccup.
LEAST_KEPT = 0.25
#: A raised limit that held is raised again by twice the step, up to this share of it.
STEP_SHARE = 0.05
#: Where the server counts a window one call too many is refused at once, however far the limit was raised.
LEAP_SHARE = 0.5
#: Bursts of 429s closer together than this share of a window belong together: the limit is below what is
#: handed out.
CHAIN_SHARE = 0.25
#: With so many bursts in a chain the pace of what was accepted meanwhile is the limit (a token bucket is
#: empty).
CHAIN_LONG = 2
#: What a window of ours holds more than one of the server's, for a call counts a little longer with us.
LOOSE = 0.005
#: And so many calls accepted in it.
CHAIN_CALLS = 6
#: Accepted at less than this share of what a window held: an empty bucket.
EVEN_SHARE = 0.7
#: Ends of the server's windows, told by Retry-After in whole seconds, agree within this.
EDGE_S = 1.3
#: Told by a shorter Retry-After they say nothing: who counts any minute has those too, a minute after a
#: burst.
FAR_S = 2.5
#: So many that agree: the server counts from one full window to the next.
EDGES_AGREED = 2
MOST_EDGES = 8


#: A 429 comes within so long of its call: who has heard nothing by then was accepted.
REFUSED_WITHIN_S = 2.0


class LearnedRate(Value, frozen=True, kw_only=True):
    """What is known of one rate key. Times are epoch seconds, limits are calls per window."""

    #: None: no 429 has come yet.
    limit: int | None = None
    #: The server said so itself, in a header of its last answer.
    is_announced: bool = False
    #: The limit that held before it was raised for a probe; None: no probe is going on.
    sure: int | None = None
    #: The limit before the first raise of the probe.
    base: int = 0
    step: int = 1
    #: 429s that may still be spent on probing.
    earned: float = MOST_EARNED
    #: 429s until then belong to the last burst: calls that were under way when it began.
    burst_until: float = 0.0
    #: A burst is over: what the window holds with the first call that is accepted again is the limit.
    is_doubted: bool = False
    #: When that call was made, and what the window held then.
    doubt_at: float = 0.0
    doubt_held: int = 0
    last_refused: float = 0.0
    chain_since: float = 0.0
    chain_bursts: int = 0
    chain_accepted: int = 0
    #: An end of the server's own windows, and how often it was confirmed.
    edge: float | None = None
    edges_agreed: int = 0
    #: So many that agree say that the windows are fixed; more, each time that was found wrong.
    edges_needed: int = EDGES_AGREED
    #: The first burst of all teaches the limit: it costs nothing of what is earned.
    cold_until: float = 0.0
    #: Bursts of 429s came in a chain: calls go evenly from now on, as a token bucket lets them.
    is_even: bool = False
    #: When the limit was last raised.
    raised_at: float = 0.0
    #: When the window first held as many as the raised limit.
    reached_at: float = 0.0

    @property
    def is_fixed(self) -> bool:
        return self.edge is not None and self.edges_agreed >= self.edges_needed


class KeyReading(Value, frozen=True, kw_only=True):
    """What is seen of a key at one instant. Counts of the window in force (`window_of`)."""

    now: float
    window_s: float
    #: Answers since the last look.
    accepted: int = 0
    refused: int = 0
    #: Called in this window and not refused (yet).
    held: int = 0
    #: Of those, called within `refused_within`: a 429 may still come.
    unsure: int = 0
    #: Nothing is left of the limit in force.
    is_wanted: bool = False
    #: Until when a 429 closed the key.
    closed_until: float | None = None
    announced: int | None = None


def refused_within(window_s: float) -> float:
    return min(REFUSED_WITHIN_S, window_s / 30)


def in_force(learned: LearnedRate, configured: int | None) -> int | None:
    """Calls per window to hand out; None: not limited as far as anybody knows."""
    known = [limit for limit in (learned.limit, configured) if limit is not None]
    return min(known, default=None)


def window_of(learned: LearnedRate, now: float, window_s: float) -> float:
    """How far back calls count: a whole window, or to the last end of one of the server's own."""
    if not learned.is_fixed or learned.edge is None:
        return window_s
    return (now - learned.edge) % window_s


def after_look(learned: LearnedRate, look: KeyReading, configured: int | None) -> LearnedRate:
    """What is known after it. `configured` is never exceeded by a probe."""
    known = replace(learned, chain_accepted=learned.chain_accepted + look.accepted)
    known = replace(known, earned=min(MOST_EARNED, known.earned + EARNED * look.accepted))
    if look.announced is not None:
        known = _told(known, look.announced)
    if look.refused:
        known = _refused(known, look)
    return known if known.is_announced else _probing(known, look, configured)


def _told(known: LearnedRate, limit: int) -> LearnedRate:
    return replace(known, limit=limit, is_announced=True, sure=None, is_doubted=False, step=1)


def _refused(known: LearnedRate, look: KeyReading) -> LearnedRate:
    if known.limit is not None and look.now > known.cold_until:
        known = replace(known, earned=max(MOST_OWED, known.earned - look.refused))
    is_first, was_fixed = look.now > known.burst_until, known.is_fixed
    if is_first:
        known = _even(_edge(_chained(known, look), look), look)
        until = look.now + refused_within(look.window_s)
        cold_until = until if known.limit is None else known.cold_until
        known = replace(known, burst_until=until, last_refused=look.now, step=1, cold_until=cold_until)
    if known.is_announced:
        return known
    if is_first and known.sure is not None:
        return replace(known, limit=_proved(known, look), sure=None)
    if was_fixed and not known.is_fixed:
        return _unfixed(known, look)
    if known.sure is None and (is_first or known.is_doubted or known.is_fixed):
        is_doubted = not (known.is_fixed or known.is_even) and _is_long(known, look)
        return replace(known, limit=_fallen(known, look, is_first), is_doubted=is_doubted, doubt_at=0.0)
    if known.limit is not None and not known.is_even:
        # Of the same burst: what was under way was refused as well.
        return replace(known, limit=max(1, min(known.limit, look.held), math.ceil(known.limit * LEAST_KEPT)))
    return known


def _proved(known: LearnedRate, look: KeyReading) -> int:
    """What held of a raised limit that was refused."""
    base, sure = known.base, known.sure or known.base
    if known.is_even:
        # An even pace is refused late, when the reserve is empty: somewhere in between.
        return (base + sure) // 2
    if sure - base <= math.ceil(base * LOOSE):
        return base
    return max(sure, look.held - 1)


def _unfixed(known: LearnedRate, look: KeyReading) -> LearnedRate:
    """What was counted is of windows that the server does not have: it says nothing of the limit."""
    needed = min(MOST_EDGES, known.edges_needed + EDGES_AGREED)
    known = replace(known, edges_needed=needed, chain_bursts=1, chain_since=look.now, chain_accepted=0)
    return replace(known, limit=max(1, (known.limit or 1) - 1), is_doubted=True, doubt_at=0.0)


def _fallen(known: LearnedRate, look: KeyReading, is_first: bool) -> int:
    """The limit, told by what the window holds: what was accepted before the 429."""
    if known.limit is None:
        return max(1, look.held)
    told = look.held if known.is_fixed else min(known.limit - is_first, look.held)
    pace = _chain_pace(known, look)
    if known.is_even:
        told = known.limit - is_first * max(1, int(known.limit * STEP_SHARE)) if pace is None else pace
    elif is_first and known.chain_bursts > CHAIN_LONG and pace is not None and not known.is_fixed:
        # Again and again, soon over: one step for each would be a 429 for each call that is too many.
        told = min(told, max(pace, known.limit - max(1, int(known.limit * STEP_SHARE))))
    return max(1, min(known.limit, told), math.ceil(known.limit * LEAST_KEPT))


def _chained(known: LearnedRate, look: KeyReading) -> LearnedRate:
    if look.now - known.last_refused <= look.window_s * CHAIN_SHARE:
        return replace(known, chain_bursts=known.chain_bursts + 1)
    return replace(known, chain_since=look.now, chain_bursts=1, chain_accepted=0)


def _chain_pace(known: LearnedRate, look: KeyReading) -> int | None:
    """Calls a window, by what was accepted since the first of the bursts; None: too few to say."""
    if known.chain_bursts < CHAIN_LONG or known.chain_accepted < CHAIN_CALLS:
        return None
    return math.ceil(known.chain_accepted / (look.now - known.chain_since) * look.window_s)


def _even(known: LearnedRate, look: KeyReading) -> LearnedRate:
    """429s that come again and again at less than the window held, and soon pass: an empty bucket."""
    if known.limit is None or look.closed_until is None:
        return known
    if _is_long(known, look):
        return replace(known, is_even=False, chain_bursts=1, chain_since=look.now, chain_accepted=0)
    pace = _chain_pace(known, look)
    is_short = known.chain_bursts <= CHAIN_LONG
    if (
        known.is_fixed
        or known.is_even
        or is_short
        or pace is None
        or pace >= EVEN_SHARE * min(known.limit, look.held)
    ):
        return known
    return replace(known, is_even=True)


def _is_long(known: LearnedRate, look: KeyReading) -> bool:
    """Closed for longer than an empty bucket takes to have a call again."""
    if look.closed_until is None:
        return True
    return look.closed_until - look.now > 1.5 + 2 * look.window_s / (known.limit or max(1, look.held))


def _edge(known: LearnedRate, look: KeyReading) -> LearnedRate:
    """Where Retry-After always points at the same second of the window, the server's windows are fixed."""
    if look.closed_until is None or look.closed_until <= look.now:
        return known
    is_far = look.closed_until - look.now > FAR_S * look.window_s / 60
    if known.edge is None:
        return replace(known, edge=look.closed_until) if is_far else known
    if known.is_fixed and known.limit is not None and look.held < known.limit * LEAST_KEPT:
        # With next to nothing used of a window: it is none.
        return replace(known, edge=None, edges_agreed=0)
    half = look.window_s / 2
    off = (look.closed_until - known.edge + half) % look.window_s - half
    if abs(off) > EDGE_S:
        return replace(known, edge=look.closed_until if is_far else None, edges_agreed=0)
    # Said in whole seconds, rounded up: the earliest is the nearest to it.
    is_new = is_far and look.closed_until - known.edge > half
    agreed = known.edges_agreed + 1 if is_new else known.edges_agreed
    return replace(known, edge=look.closed_until - max(0.0, off), edges_agreed=agreed)


def _probing(known: LearnedRate, look: KeyReading, configured: int | None) -> LearnedRate:
    if known.is_doubted:
        known = _resolved(known, look)
    limit = known.limit
    if limit is None or known.is_doubted or look.now <= known.burst_until:
        return known
    if configured is not None and limit >= configured:
        return known
    if known.sure is not None:
        return _held(known, look, limit, configured)
    if not look.is_wanted or known.earned < 1 or look.now - known.last_refused < look.window_s * CHAIN_SHARE:
        return known
    return replace(known, sure=limit, base=limit, limit=limit + 1, step=1, raised_at=look.now, reached_at=0.0)


def _held(known: LearnedRate, look: KeyReading, limit: int, configured: int | None) -> LearnedRate:
    """Raised further where the raised limit was used, and no 429 came for as long as it takes to come."""
    within_s = refused_within(look.window_s)
    if known.is_even:
        # The reserve has to be used up first.
        is_held = look.is_wanted and look.now - known.raised_at > within_s + 3 * look.window_s / limit
        return _raised(known, look, limit, configured) if is_held else known
    if not known.reached_at:
        return replace(known, reached_at=look.now) if look.held >= limit else known
    return known if look.now - known.reached_at < within_s else _raised(known, look, limit, configured)


def _resolved(known: LearnedRate, look: KeyReading) -> LearnedRate:
    """After a burst calls go one by one. What the window held with the first that is accepted is the
    limit.
    """
    is_closed = look.closed_until is not None and look.closed_until > look.now
    if is_closed or look.now <= known.burst_until or known.limit is None:
        return known
    if not known.doubt_at:
        return replace(known, doubt_at=look.now, doubt_held=look.held) if look.unsure else known
    if look.now - known.doubt_at < refused_within(look.window_s):
        return known
    told = max(1, min(known.limit, known.doubt_held), math.ceil(known.limit * LEAST_KEPT))
    return replace(known, limit=told, is_doubted=False, doubt_at=0.0, sure=told, base=told)


def _raised(known: LearnedRate, look: KeyReading, limit: int, configured: int | None) -> LearnedRate:
    """The raised limit was reached and held: on to the next."""
    most = STEP_SHARE if known.is_even else LEAP_SHARE
    step = min(2 * known.step, max(1, int(limit * most)))
    further = limit + step if configured is None else min(limit + step, configured)
    return replace(known, sure=limit, limit=further, step=step, raised_at=look.now, reached_at=0.0)
