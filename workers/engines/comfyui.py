"""A ComfyUI-shaped server: is it well, one graph into its queue, what became of it, and the file that came.

The graph is the user's own («Save (API format)»); in its texts `{prompt}`, `{seed}`, `{width}`, `{height}`,
`{frames}` and `{fps}` are filled in.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, cast

from conductor.base.errors import BadInput, JobError
from conductor.base.text import printable
from workers.engines import kept_request
from workers.engines.kept_request import KeptRequest
from workers.engines.server import EngineServer
from workers.task_api.context import JobContext
from workers.task_api.toolkit import leave_if_told

#: So often the server is asked what became of it.
POLL_S = 0.5
#: Of the attempt's time; after it what waits in the server's queue is taken back, and the engine is busy.
WAITS = 0.8
#: A server that was started anew knows nothing of its queue: so often it is told again.
MOST_LOST = 2


def fill(graph: Mapping[str, Any], values: Mapping[str, str | int | float]) -> dict[str, Any]:
    """A text that is one placeholder becomes the value itself, so that a number stays a number."""

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(k): filled(v) for k, v in cast("dict[object, Any]", value).items()}
        if isinstance(value, list):
            return [filled(each) for each in cast("list[Any]", value)]
        if not isinstance(value, str):
            return value
        for name, given in values.items():
            if value == f"{{{name}}}":
                return given
            value = value.replace(f"{{{name}}}", str(given))
        return value

    return cast("dict[str, Any]", filled(dict(graph)))


def render(ctx: JobContext, name: str, graph: Mapping[str, Any], into: Path) -> None:
    """The graph's picture or film into the file `into`. Raises as `EngineServer` does."""
    server = EngineServer(ctx, name)
    check_well(server)
    request = kept_request.load(ctx, name) or KeptRequest()
    prompt_id = request.id or kept_request.name_of(ctx, request.times)
    if not is_known(server, prompt_id):
        prompt_id = submit(ctx, server, graph, prompt_id, request)
    entry = wait(ctx, server, graph, prompt_id, request)
    file = wanted_file(server, entry)
    server.fetch("/view", into, **file)
    server.done()


def check_well(server: EngineServer) -> None:
    said = server.health("/system_stats")
    if not isinstance(said.get("system"), dict):
        server.fail(
            "refuses", f"{server.name} at {server.where} is no ComfyUI: its /system_stats has no system"
        )


def submit(
    ctx: JobContext, server: EngineServer, graph: Mapping[str, Any], prompt_id: str, request: KeptRequest
) -> str:
    """The name by which the server knows it: ours, where it takes names."""
    kept_request.save(ctx, server.name, KeptRequest(id=prompt_id, times=request.times))
    said = server.post(
        "/prompt", {"prompt": graph, "client_id": f"conductor-{ctx.job_id}", "prompt_id": prompt_id}
    )
    found = said.get("prompt_id")
    if not isinstance(found, str) or not found.isascii() or not found.replace("-", "").isalnum():
        server.fail("faulty", f"{server.name} took the graph and named no prompt_id")
    if len(found) > 100:
        server.fail("faulty", f"{server.name} named a prompt_id of {len(found)} letters")
    if found != prompt_id:
        kept_request.save(ctx, server.name, KeptRequest(id=found, times=request.times))
    return found


def is_known(server: EngineServer, prompt_id: str) -> bool:
    return history(server, prompt_id) is not None or place(server, prompt_id) is not None


def history(server: EngineServer, prompt_id: str) -> dict[str, Any] | None:
    """What became of it; None: it has not ended."""
    entry = server.get(f"/history/{prompt_id}").get(prompt_id)
    return cast("dict[str, Any]", entry) if isinstance(entry, dict) else None


def place(server: EngineServer, prompt_id: str) -> int | None:
    """How many go before it; None: it is not in the queue."""
    said = server.get("/queue")
    rows: list[Any] = []
    for part in ("queue_running", "queue_pending"):
        rows += cast("list[Any]", found) if isinstance(found := said.get(part), list) else []
    ids = [row[1] for row in rows if isinstance(row, list) and len(cast("list[Any]", row)) > 1]
    return ids.index(prompt_id) if prompt_id in ids else None


def wait(
    ctx: JobContext, server: EngineServer, graph: Mapping[str, Any], prompt_id: str, request: KeptRequest
) -> dict[str, Any]:
    until, lost = time.monotonic() + ctx.remaining_s() * WAITS, 0
    while True:
        if (entry := history(server, prompt_id)) is not None:
            check_ended_well(ctx, server, entry, request)
            return entry
        before = place(server, prompt_id)
        if before is None and history(server, prompt_id) is None:
            lost += 1
            if lost > MOST_LOST:
                server.fail("busy", f"{server.name} has lost what it was asked for, {lost} times")
            prompt_id = submit(ctx, server, graph, prompt_id, request)
        if time.monotonic() > until:
            server.order("/queue", {"delete": [prompt_id]})
            server.fail("busy", f"{server.name} has not come to it in time: {before or 0} go before it")
        ctx.progress(0.1, f"{server.name}: " + (f"{before} before it" if before else "at work"))
        pause(ctx, POLL_S)


def pause(ctx: JobContext, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        leave_if_told(ctx)
        time.sleep(min(0.1, left))


def check_ended_well(
    ctx: JobContext, server: EngineServer, entry: dict[str, Any], request: KeptRequest
) -> None:
    status = entry.get("status")
    said = cast("dict[str, Any]", status) if isinstance(status, dict) else {}
    if said.get("status_str", "success") == "success":
        return
    words = "no words"
    for message in cast("list[Any]", said.get("messages") or []):
        if isinstance(message, list) and len(cast("list[Any]", message)) > 1 and isinstance(message[1], dict):
            words = str(cast("dict[str, Any]", message[1]).get("exception_message") or words)
    again(ctx, server.name, request)
    server.fail(None, f"{server.name} could not make it: {words[:300]}")


def again(ctx: JobContext, name: str, request: KeptRequest | None = None) -> None:
    """What came is of no use: the next attempt asks for it anew."""
    request = request or kept_request.load(ctx, name) or KeptRequest()
    kept_request.save(ctx, name, KeptRequest(times=request.times + 1))


def wanted_file(server: EngineServer, entry: dict[str, Any]) -> dict[str, str]:
    """A film where there is one, else the first picture. Raises `JobError` for a name that leads out."""
    outputs = entry.get("outputs")
    files: list[dict[str, Any]] = []
    for node in cast("dict[str, Any]", outputs).values() if isinstance(outputs, dict) else ():
        for made in cast("dict[str, Any]", node).values() if isinstance(node, dict) else ():
            rows = cast("list[Any]", made) if isinstance(made, list) else []
            files += [row for row in rows if isinstance(row, dict) and "filename" in row]
    if not files:
        server.fail(None, f"{server.name} ended it and made no file: the graph has no output that is saved")
    films = [row for row in files if str(row["filename"]).lower().endswith((".mp4", ".webm", ".mkv", ".mov"))]
    chosen = (films or [row for row in files if row.get("type") != "temp"] or files)[0]
    found = {key: str(chosen.get(key) or "") for key in ("filename", "subfolder", "type")}
    if any(leads_out(found[key]) for key in found) or "/" in found["filename"] or "\\" in found["filename"]:
        server.done()
        raise JobError(
            f"{server.name} names a file outside of its folder ({printable(found['filename'])[:80]!r}): "
            "it was not fetched; look at what runs there"
        )
    return found


def leads_out(path: str) -> bool:
    parts = PurePosixPath(path.replace("\\", "/"))
    return parts.is_absolute() or ".." in parts.parts or "\0" in path


def graph_of(content: bytes, name: str) -> dict[str, Any]:
    """Of the user's file. Raises `BadInput`."""
    import msgspec

    try:
        graph = msgspec.json.decode(content, type=dict[str, dict[str, Any]])
    except (msgspec.DecodeError, RecursionError) as e:
        raise BadInput(f"{name} is no graph in ComfyUI's API format: {e}") from None
    if not graph or any("class_type" not in node for node in graph.values()):
        raise BadInput(f"{name} is no graph in ComfyUI's API format: save it by «Save (API format)»")
    return graph
