"""A whole cluster is filled with shares of GPUs, as in FGD (USENIX ATC'23): pods redrawn until the demand is
130 % of the capacity, placed one by one by `decide`, never removed. How much of the GPUs is allocated at 100
and 130 %?"""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from conductor.analysis.simulation import cluster
from conductor.analysis.simulation.policies import limits_of
from conductor.core.admission.admission import decide
from conductor.core.admission.decision_state import DecisionState, kind_of
from conductor.core.capacity.request import Demand
from conductor.model.limits import PlaceRule
from conductor.model.report import NodeReport
from conductor.model.snapshot import Candidate, Head, JobClass, Snapshot
from conductor.model.spec import Needs

GPU_MIB = 24_000  # a thousandth of a GPU is 24 MiB
DEMAND = 1.3


class Pod(NamedTuple):
    cpu_milli: int
    ram_mib: int
    gpus: int
    milli: int

    @property
    def demand(self) -> int:
        return self.gpus * self.milli

    def as_class(self, number: int) -> JobClass:
        needs = Needs(
            vram_mib=self.milli * GPU_MIB // 1000 if self.gpus else 0,
            devices=max(1, self.gpus),
            ram_mib=self.ram_mib,
            cpu=self.cpu_milli / 1000,
        )
        lane = "gpu" if self.gpus else "cpu"
        return JobClass(id=f"pod-{number}", backlog="pods", task="trace.job", lane=lane, needs=needs)


def pods(folder: Path) -> list[Pod]:
    with (folder / "openb_pod_list_default.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [pod_of(row) for row in rows]


def pod_of(row: dict[str, str]) -> Pod:
    gpus = int(row["num_gpu"])
    share = 1000 if gpus > 1 else int(row["gpu_milli"] or 0)
    return Pod(int(row["cpu_milli"]), int(row["memory_mib"]), gpus, share)


def nodes(folder: Path) -> tuple[NodeReport, ...]:
    with (folder / "openb_node_list_gpu_node.csv").open(newline="") as file:
        return tuple(
            cluster.report(
                cluster.NodeKind(
                    name=row["sn"],
                    cpu_milli=int(row["cpu_milli"]),
                    ram_mib=int(row["memory_mib"]),
                    devices=(cluster.DeviceKind(vram_mib=GPU_MIB),) * int(row["gpu"]),
                ),
                row["sn"],
            )
            for row in csv.DictReader(file)
        )


def drawn(source: list[Pod], capacity: int, seed: int) -> list[Pod]:
    dice = random.Random(seed)
    sequence: list[Pod] = []
    total = 0
    while total < DEMAND * capacity:
        pod = dice.choice(source)
        sequence.append(pod)
        total += pod.demand
    dice.shuffle(sequence)
    return sequence


def fill(source: list[Pod], hosts: tuple[NodeReport, ...], rule: PlaceRule, seed: int) -> tuple[float, float]:
    """Allocated share of all GPUs, in percent, when the demand that has arrived is 100 % and 130 % of
    them.
    """
    capacity = sum(len(node.devices) for node in hosts) * 1000
    limits = replace(limits_of("auto", seed), order="oldest", place=rule)
    snapshot = Snapshot(now=0.0, nodes=hosts)
    state = DecisionState(snapshot, limits)
    state.explains = False
    classes = {pod: pod.as_class(number) for number, pod in enumerate(dict.fromkeys(source))}
    for pod in source:
        # Which kinds of pods are usual is known beforehand, as it is to FGD.
        state.mix.saw(kind_of(Demand(classes[pod])))
    arrived = allocated = 0
    at_full: float | None = None
    for number, pod in enumerate(drawn(source, capacity, seed)):
        job_class = classes[pod]
        head = Head(job_id=f"pod-{number:08d}", attempts=0, since=0.0)
        candidate = Candidate(job_class=job_class, waiting=1, heads=(head,))
        arrived += pod.demand
        for admission in decide(snapshot, [candidate], limits, state).admit:
            allocated += pod.demand
            state.free.started(admission.reservation)
        if at_full is None and arrived >= capacity:
            at_full = 100 * allocated / capacity
    return at_full or 0.0, 100 * allocated / capacity
