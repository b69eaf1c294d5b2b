"""Files of chains in random fleets: each move has a way and an end, none is taken back, who waits is told."""

from __future__ import annotations

import os
from typing import Any

from builders import GIB, a_class, a_device, a_report, a_snapshot, a_volume
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from conductor.core.admission.admission import decide
from conductor.model.chains import Chain, FileJob, FileMove
from conductor.model.decision import Decision
from conductor.model.limits import Limits
from conductor.model.report import NodeReport, Volume
from conductor.model.snapshot import Candidate, Head

few = settings(max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "60")), deadline=None)
NAMES = ("n1", "n2", "n3", "n4")
PATHS = ("scratch:x", "scratch:y", "scratch:z")


@st.composite
def hosts(draw: st.DrawFn) -> tuple[NodeReport, ...]:
    """With a large card or a small one, without the gpu lane, on one NAS, on another or on none known."""
    found: list[NodeReport] = []
    for name in NAMES[: draw(st.integers(2, 4))]:
        nas = a_volume("nas", root_id=draw(st.sampled_from(["a", "a", "b", ""])))
        nas = replace(nas, is_writable=draw(st.sampled_from([True, True, True, False])))
        scratch = replace(a_volume(), total_bytes=draw(st.sampled_from([GIB, 500 * GIB, 500 * GIB])))
        card = a_device(vram_total_mib=draw(st.sampled_from([8_000, 24_000])))
        report = a_report(name, devices=(card,), volumes=(scratch, nas))
        if draw(st.integers(0, 4)) == 0:
            report = replace(report, queues=tuple(q for q in report.queues if q.lane != "gpu"))
        found.append(replace(report, is_draining=draw(st.integers(0, 5)) == 0))
    return tuple(found)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[tuple[NodeReport, ...], Chain, tuple[Candidate, ...]]:
    nodes = draw(hosts())
    # Its node may be one that does not report.
    home = draw(st.sampled_from(NAMES[: len(nodes) + (len(nodes) < 4)]))
    jobs: list[FileJob] = []
    classes: dict[str, tuple[Any, list[Head]]] = {}
    for n in range(draw(st.integers(1, 3))):
        reads = tuple(draw(st.lists(st.sampled_from(PATHS), min_size=1, unique=True)))
        jobs.append(FileJob(job_id=f"job{n}", reads=reads))
        kind = draw(st.sampled_from(["gpu", "cpu", "pinned"]))
        wanted = draw(st.sampled_from([node.node for node in nodes])) if kind == "pinned" else ""
        asked = (
            a_class("gpu", vram_mib=20_000, id=kind)
            if kind == "gpu"
            else a_class("cpu", node=wanted, id=kind + wanted)
        )
        classes.setdefault(asked.id, (asked, []))[1].append(Head(job_id=f"job{n}", attempts=0, since=0.0))
    # What nobody is to read is no file of a chain any more.
    read = sorted({path for job in jobs for path in job.reads})
    lie = {path: draw(st.sampled_from([home, home, nodes[0].node])) for path in read[1:]} | {read[0]: home}
    chain = Chain(
        id="1",
        node=home,
        jobs=tuple(jobs),
        kept={path: GIB // 8 for path, node in lie.items() if node == home},
        away={path: node for path, node in lie.items() if node != home},
        away_bytes={path: GIB // 8 for path, node in lie.items() if node != home},
    )
    asked = (Candidate(job_class=c, waiting=len(heads), heads=tuple(heads)) for c, heads in classes.values())
    return nodes, chain, tuple(asked)


def decided(nodes: tuple[NodeReport, ...], chain: Chain, candidates: tuple[Candidate, ...]) -> Decision:
    return decide(a_snapshot(nodes=nodes, chains=(chain,)), candidates, Limits())


def brought(chain: Chain, move: FileMove) -> Chain:
    """As the ledger has it when the second job of the transfer is accepted."""
    at = (
        dict.fromkeys(chain.kept, chain.node or "")
        | dict(chain.away)
        | dict.fromkeys(move.files, move.target)
    )
    sizes = {**chain.kept, **chain.away_bytes}
    home = chain.node if chain.node in at.values() else move.target
    return replace(
        chain,
        node=home,
        kept={path: sizes[path] for path, node in at.items() if node == home},
        away={path: node for path, node in at.items() if node != home},
        away_bytes={path: sizes[path] for path, node in at.items() if node != home},
    )


def disk(node: NodeReport, root: str) -> Volume:
    return next(volume for volume in node.volumes if volume.root == root)


@few
@given(world=worlds())
def test_a_move_has_a_way_and_an_end(
    world: tuple[tuple[NodeReport, ...], Chain, tuple[Candidate, ...]],
) -> None:
    nodes, chain, candidates = world
    by_name = {node.node: node for node in nodes}
    seen: set[tuple[str, str]] = set()
    while True:
        decision = decided(nodes, chain, candidates)
        assert len(decision.moves) <= 1
        if not decision.moves:
            break
        (move,) = decision.moves
        assert not decision.admit, "nothing of it goes on where it is"
        source, target = by_name[move.source], by_name[move.target]
        assert source is not target
        assert not target.is_draining or move.target == chain.node, (
            "files come to their chain, or to who takes jobs"
        )
        mine, theirs = disk(source, move.via), disk(target, move.via)
        assert move.via == "nas" and mine.root_id and mine.root_id == theirs.root_id
        assert mine.is_writable, "the other one reads there"
        lying = chain.kept if move.source == chain.node else chain.away_bytes
        assert move.files and move.files.items() <= lying.items()
        assert (move.source, move.target) not in seen and (move.target, move.source) not in seen, (
            "back and forth"
        )
        seen.add((move.source, move.target))
        chain = brought(chain, move)
    waiting = {head.job_id for candidate in candidates for head in candidate.heads}
    going = {admission.reservation.job_id for admission in decision.admit}
    assert all(hold.closed for hold in decision.hold), "who waits is told why"
    assert going or decision.hold or not waiting
