"""Holds a reel against its cuts: each cut lasts as long as its receipt says, and the reel as long as all
of them.
"""

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

#: How far a cut may be off: a frame, and what codecs pad.
SLACK_S = 0.2


def checks(settings: CodeSettings) -> Checks:
    return Checks(jobs=(Reel().check_job,))


class Reel:
    """Sees the jobs in the manifest's order: cuts first, then what is made of them."""

    def __init__(self) -> None:
        #: Output of a finished cut → seconds it was found to last.
        self.cuts: dict[str, float] = {}
        #: Output of a finished assembly → seconds.
        self.reels: dict[str, float] = {}

    def check_job(self, spec: JobSpec, receipt: Receipt, facts: JobFacts) -> Iterator[str]:
        if not spec.writes or (seen := facts.outputs.get(spec.writes[0].path)) is None or seen.media is None:
            return
        lasts = seen.media.duration_s
        if spec.task == "media.cut":
            self.cuts[spec.writes[0].path] = lasts
            yield from self._cut(receipt, lasts)
        elif spec.task == "media.assemble":
            self.reels[spec.writes[0].path] = lasts
            yield from self._assembly(spec, receipt, lasts)
        elif (
            spec.task == "files.publish" and abs(self.reels.get(spec.args["source"], lasts) - lasts) > SLACK_S
        ):
            yield (
                f"the published reel lasts {lasts:.2f} s, the assembled one "
                f"{self.reels[spec.args['source']]:.2f} s"
            )

    def _cut(self, receipt: Receipt, lasts: float) -> Iterator[str]:
        said = float(receipt.result.get("duration_s", lasts))
        if abs(said - lasts) > SLACK_S:
            yield f"the cut lasts {lasts:.2f} s, its receipt says {said:.2f} s"

    def _assembly(self, spec: JobSpec, receipt: Receipt, lasts: float) -> Iterator[str]:
        left_out = set(receipt.result.get("missing", ()))
        used = [path for path in spec.args["segments"] if path in self.cuts and path not in left_out]
        total = sum(self.cuts[path] for path in used)
        if abs(total - lasts) > SLACK_S * (1 + len(used)):
            yield f"the reel lasts {lasts:.2f} s, its {len(used)} cuts {total:.2f} s"
        for path in sorted(left_out & self.cuts.keys()):
            yield (
                f"the reel was made without {path}, which is there now: plan and dispatch again to include it"
            )


if __name__ == "__main__":
    from workflows.protocol import run_verify_script

    sys.exit(run_verify_script("highlights"))
