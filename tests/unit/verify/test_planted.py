"""A hundred faults planted among three hundred jobs, drawn from a seed: verify names each, and nobody
else.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from verify_scene import VerifyScene

from conductor.model.spec import JobSpec

FAULTS = 100
JOBS = 300


def lost(place: VerifyScene, spec: JobSpec) -> str:
    """It never ran."""
    return "missing"


def failed(place: VerifyScene, spec: JobSpec) -> str:
    place.receipt(spec, outcome="failed", cause="task_error", message="planted")
    return "failed"


def flipped(place: VerifyScene, spec: JobSpec) -> str:
    place.done(spec)
    file = place.file(spec.writes[0].path)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    return "altered"


def cut(place: VerifyScene, spec: JobSpec) -> str:
    place.done(spec)
    file = place.file(spec.writes[0].path)
    file.write_bytes(file.read_bytes()[:-1])
    return "altered"


def deleted(place: VerifyScene, spec: JobSpec) -> str:
    place.done(spec)
    place.file(spec.writes[0].path).unlink()
    return "altered"


def doubled(place: VerifyScene, spec: JobSpec) -> str:
    place.done(spec)
    place.done(spec, attempt=2)
    return "duplicate"


KINDS: tuple[Callable[[VerifyScene, JobSpec], str], ...] = (lost, failed, flipped, cut, deleted, doubled)


def test_each_of_a_hundred_planted_faults_is_named_and_nothing_else(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201  pytest shows it when the test fails
    chance = random.Random(seed)
    place = VerifyScene(tmp_path)
    specs = [place.job(n) for n in range(JOBS)]
    victims = {spec.id: chance.choice(KINDS) for spec in chance.sample(specs, FAULTS)}

    planted: dict[str, str] = {}
    for spec in specs:
        if (plant := victims.get(spec.id)) is None:
            place.done(spec)
        else:
            planted[spec.id] = plant(place, spec)
    place.log.close()

    found = {finding.job_id: finding.kind for finding in place.verify().findings}
    assert found == planted
