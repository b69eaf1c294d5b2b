"""llm.annotate: a batch of texts in one request to an OpenAI-shaped server, in the cloud or on this
machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import orjson
from msgspec import Meta, Struct

from conductor.base.errors import JobError
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, parse, write_of

if TYPE_CHECKING:
    from workers.llm.chat import ChatAnswer

FORM = (
    'Answer with one JSON object and nothing else: {"annotations": {"<id>": <annotation>, …}}, '
    "with one entry for every id of the list you are given."
)


class AnnotationItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    text: str


class AnnotateArgs(Args, frozen=True, kw_only=True):
    #: An `[endpoints.NAME]` of conductor.toml; its name is the rate key too.
    endpoint: str
    items: Annotated[tuple[AnnotationItem, ...], Meta(min_length=1, max_length=1000)]
    instruction: Annotated[str, Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] = 1024


@task(
    "llm.annotate",
    lane="cloud",
    needs=Needs(ram_mib=64),
    timeout_s=600,
    retry={"server_error": 5, "task_error": 2},
    rate="{endpoint}",
)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: endpoint, items [{id, text}], instruction, max_tokens.

    Writes JSON lines {"id", "annotation"}, one an item, in the items' order. One request, never repeated
    here: the conductor retries. Result: {"endpoint", "model", "items", "tokens": {prompt, completion},
    "budget"}.
    """
    from workers.llm import chat

    given = parse(args, AnnotateArgs)
    texts = orjson.dumps([{"id": item.id, "text": item.text} for item in given.items]).decode()
    ctx.progress(0.1, f"asking {given.endpoint}")
    answer = chat.ask(ctx, given.endpoint, f"{given.instruction}\n\n{FORM}", texts, given.max_tokens)
    found = by_id(answer, given)
    lines = [
        orjson.dumps({"id": i.id, "annotation": found[i.id]}, option=orjson.OPT_APPEND_NEWLINE)
        for i in given.items
    ]
    ctx.output(write_of(ctx)).write_bytes(b"".join(lines))
    return {
        "endpoint": given.endpoint,
        "model": answer.model,
        "items": len(lines),
        "tokens": {"prompt": answer.prompt_tokens, "completion": answer.completion_tokens},
        "budget": answer.budget,
    }


def by_id(answer: ChatAnswer, given: AnnotateArgs) -> dict[str, Any]:
    """Id → annotation, for every item. Raises `JobError` where the model left some out."""
    from workers.llm.json_objects import json_objects

    wanted = [item.id for item in given.items]
    # The last one that is of the form: before it stands what the model tried, or quoted.
    forms = [
        form for found in json_objects(answer.text) if (form := annotations_of(found, wanted)) is not None
    ]
    if not forms:
        raise JobError(f"{given.endpoint} did not answer in the form asked for: {answer.text[:200]!r}")
    found = forms[0]
    if lacking := [identity for identity in wanted if identity not in found]:
        raise JobError(
            f"{given.endpoint} left out {len(lacking)} of {len(wanted)} items, the first is {lacking[0]!r}"
        )
    return found


def annotations_of(found: dict[str, Any], wanted: Sequence[str]) -> dict[str, Any] | None:
    """Id → annotation, in the form asked for or in one that says the same: a list of {"id", "annotation"}, or
    the ids without «annotations» around them. None: it is none of these."""
    inside = found.get("annotations")
    if isinstance(inside, dict):
        return cast("dict[str, Any]", inside)
    if isinstance(inside, list):
        rows = [cast("dict[str, Any]", row) for row in cast("list[object]", inside) if isinstance(row, dict)]
        return {
            str(row["id"]): row["annotation"] for row in rows if "id" in row and "annotation" in row
        } or None
    return found if all(identity in found for identity in wanted) else None
