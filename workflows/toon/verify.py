"""Holds a cartoon against its script: each scene in it, as long as it was written, and something to see."""

from __future__ import annotations

import sys
from pathlib import Path

# run as a plain file: the project's root is not on the path, nor perhaps its environment
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from workflows import standalone

    standalone.ensure_environment()

from collections.abc import Iterator

from conductor.base.errors import JobError
from conductor.base.files.layout import CodeSettings
from conductor.base.files.paths import resolve
from conductor.model.receipt import Receipt
from conductor.model.spec import JobSpec
from conductor.verify.verify import Checks, JobFacts


def checks(settings: CodeSettings) -> Checks:
    return Checks(jobs=(CartoonCheck(settings).check_job,))


class CartoonCheck:
    """Sees the jobs in the manifest's order: scenes first."""

    def __init__(self, settings: CodeSettings) -> None:
        self._settings = settings
        #: Output of a scene → pictures; those that a person has accepted.
        self._planned: dict[str, int] = {}
        self._accepted: set[str] = set()

    def check_job(self, spec: JobSpec, receipt: Receipt, facts: JobFacts) -> Iterator[str]:
        if spec.task == "toon.segment":
            self._planned[spec.writes[0].path] = spec.args["frames"]
            if receipt.verdicts:
                self._accepted.add(spec.writes[0].path)
            yield from self._engine(spec, receipt)
        elif spec.task == "toon.film" and not any(fact.fault for fact in facts.outputs.values()):
            yield from self._film(spec, receipt)

    def _engine(self, spec: JobSpec, receipt: Receipt) -> Iterator[str]:
        allowed = [engine.name for engine in spec.needs.engines] if spec.needs else []
        if allowed and receipt.result.get("engine") not in allowed:
            yield f"it was made by {receipt.result.get('engine')}, and its line names {', '.join(allowed)}"

    def _film(self, spec: JobSpec, receipt: Receipt) -> Iterator[str]:
        from workers.media import picture_faults

        wanted = [self._planned.get(path, 0) for path in spec.args["segments"]]
        if receipt.result.get("frames") != sum(wanted):
            yield f"the film has {receipt.result.get('frames')} pictures, its script {sum(wanted)}"
        try:
            file = resolve(self._settings, spec.writes[0].path, for_writing=False)
            looks = picture_faults.look(file, "the film", wanted)
        except (JobError, OSError) as e:
            yield f"the film cannot be looked at: {e}"
            return
        scenes = zip(looks, spec.args["heard"], spec.args["segments"], strict=True)
        for number, (seen, is_heard, path) in enumerate(scenes, 1):
            if path not in self._accepted:
                bad, unsure = seen.faults(is_heard=is_heard)
                told = bad if receipt.verdicts else [*bad, *unsure]
                yield from (f"scene {number}: {words}" for words in told)


if __name__ == "__main__":
    from workflows.protocol import run_verify_script

    sys.exit(run_verify_script("toon"))
