"""Fills the gaps of a SQLite corpus: every document without an annotation gets one from an LLM, local or in
the cloud.

Batches of documents go to llm.annotate; a small job behind each puts the answers into the corpus. What is
already annotated is not planned; when nothing is missing the manifest is empty.
"""

from __future__ import annotations

import sys
from pathlib import Path

# run as a plain file: the project's root is not on the path, nor perhaps its environment
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from workflows import standalone

    standalone.ensure_environment()

import argparse
from collections.abc import Iterable, Iterator
from itertools import islice

from conductor.base.errors import ConfigError, UsageError
from conductor.base.files.layout import CodeSettings
from conductor.base.settings.unknown_keys import did_you_mean
from conductor.model.spec import JobSpec, Lane, Needs, RateNeed
from conductor.planning import job, rounded_up
from workflows.gap_fill.corpus import gaps, rooted

NAME = "gap_fill"
INSTRUCTION = 'Annotate every text with {"label": one word for its topic, "summary": one sentence}.'
#: Tokens: of the answer to one text, and of the question by its length.
ANSWER_TOKENS = 128
CHARACTERS_A_TOKEN = 3

Target = tuple[str, Lane]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", help="SQLite file below a root, as a path or as root:relative")
    parser.add_argument(
        "--local", metavar="ENDPOINT", help="[endpoints.NAME] of a server on your own machine"
    )
    parser.add_argument(
        "--cloud", metavar="ENDPOINT", help="[endpoints.NAME] of a server that counts requests"
    )
    parser.add_argument(
        "--share", type=float, default=0.5, help="with both: how much goes to the cloud, 0 to 1"
    )
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="documents in one request")
    parser.add_argument(
        "--instruction", default=INSTRUCTION, help="what the model is told to do with each text"
    )
    parser.add_argument(
        "--local-lane",
        choices=("auto", "gpu", "cpu", "io"),
        default="auto",
        help="whose workers wait for the local server; auto: gpu where that lane may run on the CPU, else io",
    )
    parser.add_argument(
        "--round", type=int, default=1, metavar="N", help="raise it to apply known answers once more"
    )


def plan(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """llm.annotate → corpus.apply for each batch, in the order of the documents' ids."""
    if not 1 <= options.batch <= 1000:
        raise UsageError(f"--batch {options.batch}: between 1 and 1000")
    if not 0 <= options.share <= 1:
        raise UsageError(f"--share {options.share:g}: between 0 and 1")
    targets = targets_of(options, settings)
    corpus, file = rooted(options.corpus, settings)
    for index, batch in enumerate(batches(gaps(file), options.batch)):
        annotate = annotation(batch, target_of(index, targets, options.share), options.instruction)
        answers = annotate.writes[0].path
        yield annotate
        yield job(
            NAME,
            "corpus.apply",
            {"corpus": corpus, "annotations": answers, "round": options.round},
            reads=(answers,),
            updates=(corpus,),
            after=(annotate,),
        )


def annotation(batch: list[tuple[str, str]], target: Target, instruction: str) -> JobSpec:
    endpoint, lane = target
    answer = ANSWER_TOKENS * len(batch)
    characters = len(instruction) + sum(len(text) for _, text in batch)
    question = characters // CHARACTERS_A_TOKEN
    # In steps of 1024, so that batches of like size stay in one class.
    tokens = -(-(question + answer) // 1024) * 1024
    return job(
        NAME,
        "llm.annotate",
        {
            "endpoint": endpoint,
            "items": [{"id": identity, "text": text} for identity, text in batch],
            "instruction": instruction,
            "max_tokens": answer,
        },
        writes={f"scratch:{NAME}/{{id}}/annotations.jsonl": rounded_up(answer * 8)},
        lane=lane,
        size=characters,
        needs=Needs(ram_mib=64, rates={endpoint: RateNeed(requests=1, tokens=tokens)}),
    )


def targets_of(options: argparse.Namespace, settings: CodeSettings) -> tuple[Target | None, Target | None]:
    """(local, cloud). Raises `UsageError` when neither is named, `ConfigError` when one is not declared."""
    for endpoint in (options.local, options.cloud):
        if endpoint is not None and endpoint not in settings.endpoints:
            near = did_you_mean(endpoint, settings.endpoints)
            raise ConfigError(
                f"[endpoints.{endpoint}] is not in conductor.toml{near or ': add it with its base_url'}"
            )
    if options.local is None and options.cloud is None:
        raise UsageError("name a server with --local or --cloud (an [endpoints.NAME] of conductor.toml)")
    auto: Lane = "gpu" if settings.lanes.gpu.on_cpu else "io"
    local_lane: Lane = auto if options.local_lane == "auto" else options.local_lane
    local = None if options.local is None else (options.local, local_lane)
    cloud: Target | None = None if options.cloud is None else (options.cloud, "cloud")
    return local, cloud


def target_of(index: int, targets: tuple[Target | None, Target | None], share: float) -> Target:
    """Spread evenly: after any number of batches the cloud has had its share of them, rounded down."""
    local, cloud = targets
    if local is None or cloud is None:
        return local or cloud or ("", "io")
    return cloud if int((index + 1) * share) > int(index * share) else local


def batches(documents: Iterable[tuple[str, str]], size: int) -> Iterator[list[tuple[str, str]]]:
    source = iter(documents)
    while batch := list(islice(source, size)):
        yield batch


if __name__ == "__main__":
    from workflows.protocol import run_plan_script

    sys.exit(run_plan_script(NAME))
