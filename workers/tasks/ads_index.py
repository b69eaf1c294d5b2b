"""ads.index: the winners among some creatives get a vector in the index, where they have none yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from conductor.base.errors import BadInput
from conductor.model.calls import Call
from conductor.model.spec import Needs
from workers.ads import embedders, tables, vector_index
from workers.ads.embedding import HASHED
from workers.ads.lead_events import Name
from workers.ads.sampler import winners
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, leave_if_told, parse, threads

NEEDS = Needs(cpu=1, ram_mib=256)
Text = Annotated[str, Meta(min_length=1, max_length=8000)]


class IndexArgs(Args, frozen=True, kw_only=True):
    store: str = "ads"
    #: Creative → its words.
    creatives: Annotated[dict[Name, Text], Meta(min_length=1, max_length=embedders.AT_ONCE)]
    #: What the index calls who makes the vectors.
    embedder: Name = HASHED
    #: An `[endpoints.NAME]`, or the folder of a model: one of them, or none.
    endpoint: str | None = None
    model: str | None = None
    #: A winner has so many leads that are over, and is so surely better than all together.
    least_leads: Annotated[float, Meta(ge=0)] = 20.0
    sure: Annotated[float, Meta(gt=0, lt=1)] = 0.95
    #: Only tells one round from another: what is in the store changes, the line does not.
    round: str = ""


@task(
    "ads.index",
    lane="cpu",
    needs=NEEDS,
    timeout_s=3600,
    retry={"task_error": 2, "server_error": 5},
    store="{store}",
    rate="{endpoint}",
)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: store, creatives, embedder, endpoint, model, least_leads, sure, round. One request at most.

    Result: {"winners": [creative, …], "embedded": […], "embedder", "dimensions"}; dimensions are 0 where
    nothing was embedded.
    """
    given = parse(args, IndexArgs)
    if given.endpoint is not None and given.model is not None:
        raise BadInput("args: an endpoint or a model, one of them")
    with ctx.store(given.store) as store:
        tables.make_tables(store)
        arms = tables.arms_of(tables.totals_in(store.read(tables.ARMS)))
        found = [c for c in winners(arms, given.least_leads, given.sure) if c in given.creatives]
        texts = {creative: given.creatives[creative] for creative in found}
        wanted = vector_index.missing(store, given.embedder, texts)
    if not wanted:
        if given.endpoint is not None:
            ctx.called(Call(key=given.endpoint, outcome="uncalled"))
        return {"winners": found, "embedded": [], "embedder": given.embedder, "dimensions": 0}
    leave_if_told(ctx)
    embed = embedders.embedder_of(ctx, given.embedder, given.endpoint, given.model, threads(ctx, NEEDS))
    # The store is not held open, nor is anything locked in it, while a server or a model thinks.
    vectors = embed([texts[creative] for creative in wanted])
    with ctx.store(given.store) as store:
        vector_index.check_length(store, given.embedder, vectors.shape[1])
        with store.transaction() as change:
            vector_index.put(change, given.embedder, texts, wanted, vectors)
    return {
        "winners": found,
        "embedded": wanted,
        "embedder": given.embedder,
        "dimensions": int(vectors.shape[1]),
    }
