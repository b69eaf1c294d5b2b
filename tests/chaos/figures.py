"""What a run of kills came to: recovery after each, failover of the lead, in seconds. Read from what was
written.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tests.chaos.nemesis import Kill

#: So many are told one by one.
SLOWEST = 5


@dataclass(frozen=True)
class Recovery:
    """From a blow of this `kind` to the next attempt of what it hit."""

    kind: str
    at: float
    job_id: str
    #: The one that was hit.
    attempt: int
    seconds: float


@dataclass
class ChaosFigures:
    jobs: int = 0
    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter[str])
    recoveries: list[Recovery] = field(default_factory=list[Recovery])
    #: Kill → receipt, less the job's own time.
    receipt_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    #: SIGKILL of the leader → the standby's first admission.
    failover_s: list[float] = field(default_factory=list[float])

    def add(self, other: ChaosFigures) -> None:
        self.jobs += other.jobs
        self.seconds += other.seconds
        self.kills.update(other.kills)
        self.failover_s += other.failover_s
        self.recoveries += other.recoveries
        for kind, values in other.receipt_s.items():
            self.receipt_s[kind] += values

    @property
    def restart_s(self) -> dict[str, list[float]]:
        """Kill → the replacing attempt's first line, by kind of kill."""
        by_kind: dict[str, list[float]] = defaultdict(list)
        for each in self.recoveries:
            by_kind[each.kind].append(each.seconds)
        return by_kind

    def lines(self) -> list[str]:
        total = sum(self.kills.values())
        rate = self.jobs / self.seconds if self.seconds else 0
        kinds = ", ".join(f"{n} {kind}" for kind, n in self.kills.most_common())
        found = [f"{self.jobs} jobs, {total} kills in {self.seconds:.1f} s ({rate:.0f} jobs/s): {kinds}"]
        for what, by_kind in (
            ("next attempt", self.restart_s),
            ("receipt less the job's time", self.receipt_s),
        ):
            for kind in sorted(by_kind):
                found.append(f"{kind} → {what}: {quantiles(by_kind[kind])}")
        found.append(f"any → next attempt: {quantiles([each.seconds for each in self.recoveries])}")
        for each in sorted(self.recoveries, key=lambda each: each.seconds)[-SLOWEST:]:
            when = datetime.fromtimestamp(each.at).strftime("%H:%M:%S.%f")[:-3]
            found.append(f"  {each.seconds:.1f} s: {each.kind} at {when}, {each.job_id} #{each.attempt}")
        found.append(f"leader → first admission by another: {quantiles(self.failover_s)}")
        return found


def quantiles(values: Sequence[float]) -> str:
    if not values:
        return "none measured"
    ordered = sorted(values)
    at = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]  # noqa: E731
    return f"p50 {at(0.5):.2f} s, p99 {at(0.99):.2f} s, longest {ordered[-1]:.2f} s (n = {len(ordered)})"


def measured(
    kills: Iterable[Kill], manifests: Iterable[Path], receipts: Path, effects: Path, logs: Path
) -> ChaosFigures:
    figures = ChaosFigures()
    own_s = {line["id"]: line["args"].get("seconds", 0.0) for f in manifests for line in _json_lines(f)}
    figures.jobs = len(own_s)
    begun: dict[str, dict[int, float]] = defaultdict(dict)
    epoch = time.time() - time.monotonic()
    for line in effects.read_text().splitlines() if effects.exists() else ():
        job_id, attempt, word, at, _ = line.split()
        if word == "begin":
            begun[job_id].setdefault(int(attempt), epoch + float(at))
    ended = {(r["job_id"], r["attempt"]): r for file in receipts.glob("*.jsonl") for r in _json_lines(file)
             if r["outcome"] == "ok"}  # fmt: skip
    fed = sorted(_fed(logs))
    for kill in kills:
        figures.kills[kill.kind] += 1
        if kill.kind == "leader":
            # The dead feed no more: whatever was fed after it is another's work.
            figures.failover_s += [at - kill.at for at in fed if at > kill.at][:1]
        for job_id, attempt in kill.victims:
            after = {n: at for n, at in begun[job_id].items() if n > attempt and at > kill.at}
            if (job_id, attempt) in ended or not after:
                continue
            number = min(after)
            seconds = after[number] - kill.at
            figures.recoveries.append(Recovery(kill.kind, kill.at, job_id, attempt, seconds))
            if (receipt := ended.get((job_id, number))) is not None:
                figures.receipt_s[kill.kind].append(receipt["ended_at"] - kill.at - own_s.get(job_id, 0.0))
    return figures


def _fed(logs: Path) -> Iterable[float]:
    """When each admission was, as the conductors logged it."""
    for file in logs.glob("conduct*.jsonl"):
        for line in _json_lines(file):
            if line.get("event") in ("job.admitted", "jobs.admitted"):
                yield from [datetime.fromisoformat(line["time"]).timestamp()] * len(line.get("job_ids", [1]))


def _json_lines(file: Path) -> Iterable[dict]:
    for raw in file.read_bytes().split(b"\n"):
        try:
            if raw.strip():
                yield json.loads(raw)
        except ValueError:
            continue
