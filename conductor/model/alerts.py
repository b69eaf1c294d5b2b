"""Alerts: what is wrong, since when, who was told of it, and the runbook that says what to do.

Times are epoch seconds by the ledger's clock.
"""

from __future__ import annotations

from typing import Literal, get_args

from conductor.model.spec import Exchanged, Value

AlertRuleName = Literal[
    "nas-gone",
    "scratch-low",
    "failures",
    "running-long",
    "waiting-long",
    "node-gone",
    "worker-gone",
    "no-leader",
    "conductor-gone",
    "nothing-admitted",
    "breaker-open",
    "review-debt",
    "budget-near",
    "budget-over",
    "receipts-mismatch",
    "schedule-skipped",
    "fallback-spike",
    "engine-fallback",
    "engine-lost",
    "pilots-dying",
    "redis-gone",
]
ALERT_RULES: tuple[AlertRuleName, ...] = get_args(AlertRuleName)
#: urgent: said at any hour. warning: quiet hours hold it back.
AlertLevel = Literal["urgent", "warning"]
NoticeKind = Literal["raised", "repeated", "resolved"]


class AlertThresholds(Value, frozen=True, kw_only=True):
    """From where on the rules call something wrong. Built from `[alerts]`."""

    scratch_free_bytes: int = 5 << 30
    failed_per_hour: int = 20
    running_s: float = 43_200.0
    waiting_s: float = 86_400.0
    gone_s: float = 60.0
    idle_s: float = 600.0
    review_jobs: int = 20
    budget_left_share: float = 0.2
    fallbacks_per_hour: int = 5
    engine_fallback_share: float = 0.1
    redis_s: float = 30.0


class AlertFinding(Value, frozen=True, kw_only=True):
    """A rule's answer that something is wrong, at one instant."""

    #: What it is about, where a rule may find several: «node1/nas», a kind, a job's id. Empty: the project.
    subject: str = ""
    #: One sentence.
    words: str
    #: Name → number, as in the words.
    figures: dict[str, float] = {}


class Alert(Exchanged, frozen=True, kw_only=True):
    """One thing that is wrong, from when it was first seen until it is over."""

    rule: AlertRuleName
    subject: str = ""
    level: AlertLevel = "warning"
    words: str
    figures: dict[str, float] = {}
    #: File in `docs/runbooks/`.
    runbook: str
    #: First seen, and seen last, without a break that counts.
    since: float
    last_at: float
    #: None: it has not lasted long enough yet.
    raised_at: float | None = None
    #: When people were told last, and how often; None: nobody was, yet.
    told_at: float | None = None
    times: int = 0
    #: It is over, and quiet hours hold the word of it back; None: it is not.
    over_at: float | None = None

    @property
    def is_raised(self) -> bool:
        return self.raised_at is not None and self.over_at is None

    @property
    def key(self) -> tuple[str, str]:
        return self.rule, self.subject


class ChannelTally(Exchanged, frozen=True, kw_only=True):
    """What became of the messages through one channel."""

    sent: int = 0
    failed: int = 0
    #: Those that a limit held back: the next message counts them.
    held: int = 0
    last_at: float = 0.0
    #: Why the last one did not arrive; empty: it did.
    fault: str = ""


class AlertBook(Exchanged, frozen=True, kw_only=True):
    """All that is remembered from one judgement to the next. To lose it costs a second word, nothing else."""

    #: When it was judged last; 0: never.
    at: float = 0.0
    #: Of the node that judged.
    speaker: str = ""
    alerts: tuple[Alert, ...] = ()
    #: Node → when its last report was sent, of those that are gone too.
    seen: dict[str, float] = {}
    #: By the name of the channel.
    channels: dict[str, ChannelTally] = {}

    @property
    def raised(self) -> tuple[Alert, ...]:
        """The urgent ones first, then the oldest."""
        found = (alert for alert in self.alerts if alert.is_raised)
        return tuple(sorted(found, key=lambda alert: (alert.level != "urgent", alert.since, alert.key)))


class AlertNotice(Value, frozen=True, kw_only=True):
    """A change of one alert. `is_event`: it is news for the record; `is_told`: people are to hear of it."""

    kind: NoticeKind
    alert: Alert
    is_event: bool = True
    is_told: bool = True
    #: Of `resolved`: what is well again.
    words: str = ""


class AlertMessage(Value, frozen=True, kw_only=True):
    """What is said through a channel, all notices of it together."""

    title: str
    #: Lines for people.
    body: str
    level: AlertLevel = "warning"
    #: All is well again, as far as this message goes.
    is_over: bool = False
    project: str = ""
    #: Of the node that speaks.
    node: str = ""
    notices: tuple[AlertNotice, ...] = ()
    #: Absolute path of a file that goes along, where the channel takes one; empty: none.
    attachment: str = ""
