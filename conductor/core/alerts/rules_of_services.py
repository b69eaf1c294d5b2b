"""Rules about what has to be there: Redis, conductor, nodes, workers, roots."""

from __future__ import annotations

from collections.abc import Iterator

from conductor.base.text import duration, many, size
from conductor.core.alerts.observations import Observations
from conductor.model.alerts import AlertFinding, AlertThresholds

#: A leader that holds the lead and has recorded no tick for so many times `gone_s` does not decide any more.
STUCK_TIMES = 3
#: So many pilots in a row are no accident any more.
MOST_YOUNG = 3


def redis_gone(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    if seen.redis_lost_since is not None:
        lost_s = seen.now - seen.redis_lost_since
        words = f"Redis has not answered for {duration(lost_s)}: {seen.redis_fault}"
        yield AlertFinding(words=words, figures={"lost_s": lost_s})


def conductor_gone(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    """It was killed, or hangs: one that ends gives the lead back."""
    heard_s = seen.now - (seen.heard_at or seen.now)
    if seen.leader is None and not seen.has_resigned:
        words = f"the conductor is gone: it led until {duration(heard_s)} ago and did not give the lead back"
        yield AlertFinding(words=words, figures={"heard_s": heard_s, "left_jobs": seen.left})
    elif seen.leader is not None and seen.gates.at:
        tick_s = seen.now - seen.gates.at
        if tick_s > STUCK_TIMES * limits.gone_s:
            words = (
                f"the conductor {seen.leader} holds the lead and has recorded no tick for {duration(tick_s)}"
            )
            yield AlertFinding(words=words, figures={"tick_s": tick_s, "left_jobs": seen.left})


def no_leader(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    if seen.leader is None and seen.has_resigned and seen.left:
        words = f"{many(seen.left, 'job')} to do, and no conductor leads: nothing new starts"
        yield AlertFinding(words=words, figures={"left_jobs": seen.left})


def node_gone(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    for node, sent_at in seen.silent.items():
        age_s = seen.now - sent_at
        held = sum(r.node == node for r in seen.active)
        had = f"; it had {many(held, 'job')} in hand" if held else ""
        words = f"node {node} has not reported for {duration(age_s)}{had}"
        yield AlertFinding(subject=node, words=words, figures={"age_s": age_s, "in_hand_jobs": held})


def worker_gone(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    for node in seen.nodes:
        for queue in () if node.is_draining else node.queues:
            if not queue.workers or queue.dying:
                why = f": {queue.dying}" if queue.dying else ""
                words = f"node {node.node} has no working worker for {queue.queue}{why}"
                figures = {"workers": float(queue.workers)}
                yield AlertFinding(subject=f"{node.node}/{queue.queue}", words=words, figures=figures)


def engine_lost(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    for engine in seen.schedulers:
        if engine.away_since is not None:
            away_s = seen.now - engine.away_since
            words = f"engine {engine.name} has not answered for {duration(away_s)}: {engine.words}"
            yield AlertFinding(subject=engine.name, words=words, figures={"away_s": away_s})


def pilots_dying(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    for engine in seen.schedulers:
        if engine.young >= MOST_YOUNG:
            words = f"the last {engine.young} {engine.mode} of {engine.name} were refused, or ended at once"
            figures = {"young_pilots": float(engine.young)}
            yield AlertFinding(subject=engine.name, words=words, figures=figures)


def nas_gone(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    for node in seen.nodes:
        for volume in node.volumes:
            if volume.fault is not None or not volume.is_writable:
                why = volume.fault or "it cannot be written to"
                words = f"the root {volume.root} ({volume.path}) cannot be used on {node.node}: {why}"
                yield AlertFinding(subject=f"{node.node}/{volume.root}", words=words)


def scratch_low(seen: Observations, limits: AlertThresholds) -> Iterator[AlertFinding]:
    for node in seen.nodes:
        for volume in node.volumes:
            if volume.fault is not None or volume.free_bytes is None:
                continue
            free = volume.free_bytes + volume.removable_bytes
            opens_at = volume.opens_at_bytes
            if opens_at is not None or free < limits.scratch_free_bytes:
                then = (
                    "" if opens_at is None else f"; nothing new writes there until {size(opens_at)} are free"
                )
                words = f"{size(free)} are left on the root {volume.root} of {node.node}{then}"
                figures = {"free_bytes": float(free)}
                yield AlertFinding(subject=f"{node.node}/{volume.root}", words=words, figures=figures)
