"""Fills the gaps of a corpus: every document without an annotation gets one from an LLM, local or in
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

from conductor.base.errors import ConfigError, UsageError
from conductor.base.files.layout import CodeSettings
from conductor.base.settings.unknown_keys import did_you_mean
from conductor.base.text import many
from conductor.model.spec import JobSpec, Lane, Needs, RateNeed
from conductor.planning import job, note, rounded_up
from workflows.gap_fill.corpus import corpus_of, gaps
from workflows.gap_fill.costs import BatchAsks, Document, Purse
from workflows.gap_fill.schema import schema_of

NAME = "gap_fill"
INSTRUCTION = 'Annotate every text with {"label": one word for its topic, "summary": one sentence}.'

Target = tuple[str, Lane]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "corpus",
        help="store:NAME, or a SQLite file or a folder of JSON lines below a root (a path, or root:relative)",
    )
    parser.add_argument(
        "--local", metavar="ENDPOINT", help="[endpoints.NAME] of a server on your own machine"
    )
    parser.add_argument(
        "--cloud", metavar="ENDPOINT", help="[endpoints.NAME] of a server that counts requests"
    )
    parser.add_argument(
        "--share", type=float, default=0.5, help="with both: how much goes to the cloud, 0 to 1"
    )
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="documents in one request, at most")
    parser.add_argument(
        "--tokens", type=int, default=8000, metavar="N", help="of a question and its answer, at most"
    )
    parser.add_argument(
        "--schema", metavar="FILE", help="JSON schema that every annotation is held against; default: none"
    )
    parser.add_argument(
        "--usd",
        type=float,
        metavar="X",
        help="the cloud is asked no more than X dollars' worth; default: all",
    )
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
    """llm.annotate → corpus.apply for each batch, in the order of the documents."""
    refuse_odd(options)
    schema = None if options.schema is None else schema_of(options.schema)
    purse = Purse(options.usd, options.cloud, settings)
    targets = targets_of(options, settings)
    corpus = corpus_of(options.corpus, settings)
    asks = BatchAsks(options.instruction, schema)
    index = 0
    for batch in batches(gaps(corpus, settings), options.batch, options.tokens, asks):
        target: Target | None = target_of(index, targets, options.share)
        if target == targets[1] and not purse.pays(asks, batch):
            target = targets[0]
        if target is None:
            purse.left += len(batch)
            continue
        index += 1
        annotate = annotation(batch, target, asks)
        answers = annotate.writes[0].path
        yield annotate
        yield job(
            NAME,
            "corpus.apply",
            {**corpus.args, "annotations": answers, "round": options.round},
            reads=(answers,),
            updates=corpus.updates,
            after=(annotate,),
        )
    if purse.left:
        left = many(purse.left, "document")
        note(f"{left} left out: all together may cost more than {options.usd:g} USD")


def refuse_odd(options: argparse.Namespace) -> None:
    if not 1 <= options.batch <= 1000:
        raise UsageError(f"--batch {options.batch}: between 1 and 1000")
    if not 100 <= options.tokens <= 10_000_000:
        raise UsageError(f"--tokens {options.tokens}: between 100 and 10,000,000")
    if not 0 <= options.share <= 1:
        raise UsageError(f"--share {options.share:g}: between 0 and 1")
    if options.usd is not None and not 0 < options.usd < 1e9:
        raise UsageError(f"--usd {options.usd:g}: above 0")


def annotation(batch: list[Document], target: Target, asks: BatchAsks) -> JobSpec:
    endpoint, lane = target
    answer = asks.answer_tokens(batch)
    # In steps of 1024, so that batches of like size stay in one class. What is asked once more when the
    # answer was of no use is counted too.
    tokens = -(-(asks.question_tokens(batch) + answer) // 1024) * 1024
    return job(
        NAME,
        "llm.annotate",
        {
            "endpoint": endpoint,
            "items": [{"id": identity, "text": text} for identity, text in batch],
            "instruction": asks.instruction,
            "max_tokens": answer,
            "repairs": 1,
            **({} if asks.schema is None else {"schema": asks.schema}),
        },
        writes={f"scratch:{NAME}/{{id}}/annotations.jsonl": rounded_up(answer * 8)},
        lane=lane,
        size=asks.characters(batch),
        needs=Needs(ram_mib=64, rates={endpoint: RateNeed(requests=2, tokens=tokens)}),
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


def batches(
    documents: Iterable[Document], most: int, tokens: int, asks: BatchAsks
) -> Iterator[list[Document]]:
    """In order, each of up to `most` documents and `tokens` of question and answer; a document that is larger
    has a batch to itself.
    """
    batch = list[Document]()
    for document in documents:
        longer = [*batch, document]
        is_full = len(longer) > most or asks.question_tokens(longer) + asks.answer_tokens(longer) > tokens
        if batch and is_full:
            yield batch
            longer = [document]
        batch = longer
    if batch:
        yield batch


if __name__ == "__main__":
    from workflows.protocol import run_plan_script

    sys.exit(run_plan_script(NAME))
