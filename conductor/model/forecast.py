"""Forecast: when a run should be through, as the conductor said at its start and as it says now. Epoch
seconds.
"""

from __future__ import annotations

from conductor.model.spec import Exchanged, Value


class Forecast(Exchanged, frozen=True, kw_only=True):
    """Of one backlog, or of all. Kept in the ledger: a conductor that is started again goes on with it."""

    #: Empty: all of them.
    backlog: str = ""
    #: When the run began: its first tick with something to do.
    begun_at: float
    #: The first answer: when it was given, the end it named (None: nobody can say yet), and how much was left
    #: and known (ever dispatched) then.
    first_made_at: float
    first_ends_at: float | None
    first_left: int
    first_known: int
    #: The latest answer.
    made_at: float
    #: None: nobody can say, `because` says why.
    ends_at: float | None = None
    #: Where nobody can say for want of some tasks' durations: the rest alone takes until then.
    not_before: float | None = None
    because: str = ""
    #: By the work that each resource has to carry, not played through: it is a long backlog.
    is_rough: bool = False
    #: What may make it later and is not counted, each as a few words.
    left_out: tuple[str, ...] = ()
    #: When nothing was left any more.
    ended_at: float | None = None

    @property
    def predicted_s(self) -> float | None:
        """How long the run should take, as said at its start; None: nobody could say."""
        return None if self.first_ends_at is None else self.first_ends_at - self.begun_at

    @property
    def took_s(self) -> float | None:
        return None if self.ended_at is None else self.ended_at - self.begun_at


class Prediction(Value, frozen=True, kw_only=True):
    """`ends_at`: epoch seconds; None where nobody can say, then `because` is a sentence."""

    made_at: float
    left: int
    ends_at: float | None = None
    #: As in `Forecast`.
    not_before: float | None = None
    because: str = ""
    is_rough: bool = False
    #: What may make it later and is not counted, each as a few words.
    left_out: tuple[str, ...] = ()
    #: Gate → seconds of waiting that it costs, over all jobs: only of what was played through.
    lost_s: dict[str, float] = {}


class PredictionReply(Value, frozen=True, kw_only=True):
    """What `conductor.analysis.forecast.forecast_child` writes, a line each.

    `known`: jobs ever dispatched; `wall_s`: what it took.
    """

    prediction: Prediction | None = None
    known: int = 0
    wall_s: float = 0.0
    error: str = ""
