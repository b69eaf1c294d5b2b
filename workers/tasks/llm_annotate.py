"""llm.annotate: a batch of texts in one request to an OpenAI-shaped server, in the cloud or on this
machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from msgspec import Meta, Struct

from conductor.base.errors import BadInput, JobError
from conductor.model.causes import Cause
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, leave_if_told, parse, write_of

if TYPE_CHECKING:
    from workers.llm.annotations import Check
    from workers.llm.chat import ChatAnswer

FORM = (
    'Answer with one JSON object and nothing else: {"annotations": {"<id>": <annotation>, …}}, '
    "with one entry for every id of the list you are given."
)
NEEDS = Needs(ram_mib=64)
RETRY: Mapping[Cause, int] = {"server_error": 5, "task_error": 2}


class AnnotationItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    text: str


class AnnotateArgs(Args, frozen=True, kw_only=True):
    #: An `[endpoints.NAME]` of conductor.toml; its name is the rate key too.
    endpoint: str
    items: Annotated[tuple[AnnotationItem, ...], Meta(min_length=1, max_length=1000)]
    instruction: Annotated[str, Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] = 1024
    #: JSON schema of one annotation; it is shown to the model.
    schema: dict[str, Any] | None = None
    #: So often the model is told what was wrong with its answer, and asked again for those items. Each is a
    #: request more.
    repairs: Annotated[int, Meta(ge=0, le=1)] = 0


@task("llm.annotate", lane="cloud", needs=NEEDS, timeout_s=600, retry=RETRY, rate="{endpoint}")
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: endpoint, items [{id, text}], instruction, max_tokens, schema, repairs.

    Writes JSON lines {"id", "annotation"}, one an item, in the items' order. One request, and at most one
    more where what came is not of the form or the schema; all else the conductor retries. Result:
    {"endpoint", "model", "items", "repaired", "tokens": {prompt, completion}, "usd", "budget"}.
    """
    from workers.llm.annotations import schema_check

    given = parse(args, AnnotateArgs)
    try:
        check = schema_check(given.schema)
    except ValueError as e:
        raise BadInput(f"args.schema {e}") from None
    ctx.progress(0.1, f"asking {given.endpoint}")
    found, answers = asked(ctx, given, check)
    lines = [
        orjson.dumps({"id": i.id, "annotation": found[i.id]}, option=orjson.OPT_APPEND_NEWLINE)
        for i in given.items
    ]
    ctx.output(write_of(ctx)).write_bytes(b"".join(lines))
    usd = [answer.usd for answer in answers if answer.usd is not None]
    return {
        "endpoint": given.endpoint,
        "model": answers[-1].model,
        "items": len(lines),
        "repaired": len(answers) - 1,
        "tokens": {
            "prompt": total([answer.prompt_tokens for answer in answers]),
            "completion": total([answer.completion_tokens for answer in answers]),
        },
        "usd": sum(usd) if usd else None,
        "budget": answers[-1].budget,
    }


@task("process_batch", lane="cloud", needs=NEEDS, timeout_s=600, retry=RETRY, rate="{endpoint}")
def process_batch(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any] | None:
    """`llm.annotate` by the name that it had in the corpus annotator."""
    return run(args, ctx)


def asked(ctx: JobContext, given: AnnotateArgs, check: Check) -> tuple[dict[str, Any], Sequence[ChatAnswer]]:
    """Id → annotation for every item, and the answers that it took. What was right is kept when the model is
    asked again. Raises `JobError` where some are wrong or left out."""
    from workers.llm import chat
    from workers.llm.annotations import complaint, heard

    system, open_items = system_of(given), list(given.items)
    found, told = dict[str, Any](), ""
    answers: list[ChatAnswer] = []
    while True:
        items = orjson.dumps([{"id": item.id, "text": item.text} for item in open_items]).decode()
        answers.append(chat.ask(ctx, given.endpoint, f"{system}{told}", items, given.max_tokens))
        said = heard(answers[-1].text, [item.id for item in open_items], check)
        found |= said.good
        if not said.faults:
            return found, answers
        if len(answers) > given.repairs:
            also = ", also when it was told what was wrong" if len(answers) > 1 else ""
            raise JobError(f"{given.endpoint} {said.words}{also}")
        leave_if_told(ctx)
        ctx.progress(0.5, f"telling {given.endpoint} what was wrong with its answer")
        told = f"\n\n{complaint(said.faults)}"
        open_items = [item for item in open_items if item.id in said.faults]


def system_of(given: AnnotateArgs) -> str:
    parts = [given.instruction, FORM]
    if given.schema is not None:
        parts.append(
            f"Each annotation is to be valid by this JSON schema: {orjson.dumps(given.schema).decode()}"
        )
    return "\n\n".join(parts)


def total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
