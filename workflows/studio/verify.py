"""Holds a film against its storyboard: as many pictures as all stretches have, and the loudness asked for."""

from __future__ import annotations

import sys
from pathlib import Path

# run as a plain file: the project's root is not on the path, nor perhaps its environment
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from workflows import standalone

    standalone.ensure_environment()

from collections.abc import Iterator

from conductor.base.files.layout import CodeSettings
from conductor.model.receipt import Receipt
from conductor.model.spec import JobSpec
from conductor.verify.verify import Checks, JobFacts

#: LU: so much may be between what was asked for and what is heard (EBU R 128, for what is not live).
SLACK_LU = 1.0


def checks(settings: CodeSettings) -> Checks:
    return Checks(jobs=(FilmCheck().check_job,))


class FilmCheck:
    """Sees the jobs in the manifest's order: stretches first."""

    def __init__(self) -> None:
        #: Output of a stretch → pictures, and samples of sound.
        self.planned: dict[str, tuple[int, int]] = {}

    def check_job(self, spec: JobSpec, receipt: Receipt, facts: JobFacts) -> Iterator[str]:
        if spec.task == "media.compose":
            self.planned[spec.writes[0].path] = spec.args["frames"], spec.args["samples"]
        elif spec.task == "media.master":
            yield from self._film(spec, receipt)
        elif spec.task == "media.quality" and receipt.result["mean"] < spec.args["floor"]:
            result = receipt.result
            floor = spec.args["floor"]
            yield f"its {result['metric']} is {result['mean']:g}, less than the {floor:g} asked for"

    def _film(self, spec: JobSpec, receipt: Receipt) -> Iterator[str]:
        known = [self.planned[path] for path in spec.args["stretches"] if path in self.planned]
        frames = sum(pictures for pictures, _ in known)
        if receipt.result.get("frames") != frames:
            yield f"the film has {receipt.result.get('frames')} pictures, its storyboard {frames}"
        wanted, found = spec.args["loudness"], receipt.result.get("loudness")
        if wanted is not None and found is not None and abs(found - wanted) > SLACK_LU:
            yield f"its sound is of {found:g} LUFS instead of {wanted:g}: ask for less, or for null"


if __name__ == "__main__":
    from workflows.protocol import run_verify_script

    sys.exit(run_verify_script("studio"))
