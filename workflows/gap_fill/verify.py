"""Holds a gap_fill run against the corpus itself: every batch was answered in full, no gap is left, and
nothing is annotated twice.
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
from typing import Any

from conductor.base.errors import ConductorError
from conductor.base.files.layout import CodeSettings
from conductor.base.text import many
from conductor.model.receipt import Receipt
from conductor.model.spec import JobSpec
from conductor.verify.report import VerifyFinding
from conductor.verify.verify import Checks, JobFacts
from workflows.gap_fill.corpus import Corpus, corpus_of_job, gaps, twice


def checks(settings: CodeSettings) -> Checks:
    corpora = Corpora(settings)
    return Checks(jobs=(corpora.check_job,), whole=(corpora.check_gaps,))


class Corpora:
    """Remembers which corpora were written to, and looks into each once at the end."""

    def __init__(self, settings: CodeSettings) -> None:
        self.settings = settings
        self.seen: dict[str, dict[str, Any]] = {}

    def check_job(self, spec: JobSpec, receipt: Receipt, facts: JobFacts) -> Iterator[str]:
        result = receipt.result
        if spec.task == "corpus.apply":
            self.seen[str(spec.args.get("store") or spec.args["corpus"])] = spec.args
        elif spec.task in ("llm.annotate", "process_batch") and result.get("items") != len(
            spec.args["items"]
        ):
            yield f"answered {result.get('items')} of {len(spec.args['items'])} texts"

    def check_gaps(self) -> Iterator[VerifyFinding]:
        for subject, args in self.seen.items():
            try:
                corpus = corpus_of_job(args, self.settings)
                yield from self._findings(subject, corpus)
            except ConductorError as e:
                yield VerifyFinding(kind="missing", subject=subject, message=str(e))

    def _findings(self, subject: str, corpus: Corpus) -> Iterator[VerifyFinding]:
        if left := [identity for identity, _ in gaps(corpus, self.settings)]:
            what = f"{many(len(left), 'document')} without an annotation, the first is {left[0]!r}"
            yield VerifyFinding(
                kind="missing", subject=subject, message=f"{what}: plan again to fill what is left"
            )
        if again := twice(corpus, self.settings):
            what = f"{many(len(again), 'document')} annotated more than once, the first is {again[0]!r}"
            yield VerifyFinding(kind="wrong", subject=subject, message=what)


if __name__ == "__main__":
    from workflows.protocol import run_verify_script

    sys.exit(run_verify_script("gap_fill"))
