"""Which winners are like this? Asks the index of the ads store:

    python workflows/ads/search.py "running shoes"

Exit 0 with results, 1 without, 2 usage, 3 configuration, 4 where the store or an endpoint cannot be reached.
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
from collections.abc import Sequence

import msgspec

from conductor.base.errors import (
    ConductorError,
    ConfigError,
    JobError,
    StatementRefused,
    Unreachable,
    UsageError,
)
from conductor.base.files.layout import CodeSettings
from conductor.base.logs import standard_streams
from conductor.base.settings.settings import load
from conductor.base.text import escaped, printable
from conductor.model.spec import JobSpec
from conductor.planning import open_store
from workers.ads import embedders, vector_index
from workers.ads.vector_index import NearCreative
from workers.task_api.context import JobContext
from workflows.ads.plan import NAME, embedder_args
from workflows.protocol import complain

#: A server has so long to answer a person.
PATIENCE_S = 60.0
SHOWN_CHARS = 80


def main(argv: Sequence[str] | None = None) -> int:
    standard_streams.settle()
    options = parsed(sys.argv[1:] if argv is None else argv)
    try:
        if not options.question.strip():
            raise UsageError("the question is empty: name some words")
        found = searched(options, load().for_code)
    except ConductorError as e:
        return complain(e if not isinstance(e, JobError) else Unreachable(str(e)))
    if options.json:
        answer = {"question": options.question, "found": [each._asdict() for each in found]}
        print(escaped(msgspec.json.encode(answer).decode()))  # noqa: T201  a script's own output
    else:
        for line in lines(found):
            print(line)  # noqa: T201  a script's own output
    return 0 if found else 1


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="search.py", description=__doc__, allow_abbrev=False)
    parser.add_argument("question", help="words like those of the creative")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="so many; default: %(default)s")
    parser.add_argument("--store", default=NAME, metavar="NAME", help="default: %(default)s")
    parser.add_argument("--endpoint", metavar="NAME", help="as the index was made with")
    parser.add_argument("--model", metavar="NAME", help="as the index was made with")
    parser.add_argument("--json", action="store_true", help="creative, score and words as JSON")
    return parser.parse_args(list(argv))


def searched(options: argparse.Namespace, settings: CodeSettings) -> list[NearCreative]:
    """Nearest first. Raises `UsageError` where nothing was indexed by that embedder."""
    if options.top < 1:
        raise UsageError(f"--top {options.top}: at least 1")
    args, _ = embedder_args(options, settings)
    with open_store(settings, options.store) as store:
        try:
            known = {str(name): int(str(count)) for name, count in store.read(vector_index.EMBEDDERS)}
        except StatementRefused:
            raise ConfigError(
                f"store {options.store} has no index yet: run auto_index_winner first"
            ) from None
        if not known:
            return []
        if args["embedder"] not in known:
            others = ", ".join(printable(name) for name in known)
            raise UsageError(f"nothing was indexed by {args['embedder']}; the index has: {others}")
        if known[args["embedder"]] > vector_index.MOST_EXACT:
            sys.stderr.write("note: the index is large: each question looks at all of it\n")
        # A question is no job: its one request is not counted by the gate of the endpoint.
        spec = JobSpec(v=1, id="question", workflow=NAME, task="ads.search")
        ctx = JobContext(spec, settings, timeout_s=PATIENCE_S)
        embed = embedders.embedder_of(ctx, args["embedder"], args.get("endpoint"), args.get("model"), 1)
        question = embed([options.question])[0]
        return vector_index.nearest(
            store.read(vector_index.VECTORS, [args["embedder"]]), question, options.top
        )


def lines(found: Sequence[NearCreative]) -> list[str]:
    if not found:
        return ["no winner is in the index yet"]
    return [printable(f"{each.score:6.3f}  {each.creative}  {each.words[:SHOWN_CHARS]}") for each in found]


if __name__ == "__main__":
    sys.exit(main())
