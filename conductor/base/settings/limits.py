"""Settings → Limits: the few numbers of conductor.toml that the decision goes by."""

from __future__ import annotations

import msgspec

from conductor.base import hours
from conductor.base.settings.settings import Settings
from conductor.model.limits import BreakerRule, CounterRule, Limits

#: Working out afresh in each tick what every place is worth costs a second with a thousand nodes, and a
#: moment with the handful that this is made for.
MOST_NODES = 64
#: A report is late after so many times as long as it may take.
LATE = 2.0


def live(limits: Limits, nodes: int) -> Limits:
    """The limits for a tick over so many nodes."""
    if nodes > MOST_NODES and limits.place == "least_loss":
        return msgspec.structs.replace(limits, place="tightest")
    return limits


def limits_of(settings: Settings) -> Limits:
    lanes = settings.lanes
    return Limits(
        depth={
            "gpu": lanes.gpu.depth,
            "cpu": lanes.cpu.depth,
            "io": lanes.io.depth,
            "cloud": lanes.cloud.depth,
        },
        vram_headroom_mib=settings.limits.vram_headroom_mib,
        ram_headroom_mib=settings.limits.ram_headroom_mib,
        disk_headroom_bytes={name: root.headroom_bytes for name, root in settings.roots.items()},
        cpu_share=settings.limits.cpu_share,
        report_ttl_s=settings.timing.report_ttl_s,
        report_late_s=LATE * settings.timing.report_every_s,
        tick_s=settings.timing.tick_s,
        order="auto",
        place="least_loss",
        weights={name: backlog.weight for name, backlog in settings.backlogs.items()},
        half_life_s=settings.sharing.half_life_s,
        aging_s=settings.waiting.aging_s,
        overdue_s=settings.waiting.overdue_s,
        keep_after_s=settings.waiting.keep_after_s,
        counters={
            name: CounterRule(
                limit=counter.limit,
                per=counter.per,
                tasks=counter.tasks,
                has_command=bool(counter.command),
                on_stale=counter.on_stale,
                stale_after_s=counter.stale_after_s,
            )
            for name, counter in settings.counters.items()
        },
        hours={name: hours.parse(text) for name, text in settings.hours.items()},
        canary=dict(settings.canary),
        canary_by_eye=dict(settings.canary_by_eye),
        breaker=BreakerRule(
            failures=settings.breaker.failures,
            probes=settings.breaker.probes,
            first_s=settings.breaker.first_probe_s,
            longest_s=settings.breaker.longest_probe_s,
        ),
        review_debt=settings.breaker.review_debt,
    )
