"""Work that comes in by HTTP: a manifest that is posted, and signed deliveries."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from standardwebhooks import Webhook, WebhookVerificationError

from conductor.app.web.answers import Problem, gives, json_answer
from conductor.app.web.body import pieces, sent
from conductor.app.web.command_runs import answered, run_command
from conductor.app.web.rights import Visitor, acts, signed
from conductor.app.web.routes.overview import stack_of
from conductor.app.web.stack import Stack
from conductor.base.errors import ConfigError
from conductor.base.files.safe_open import make_own
from conductor.base.logs.events import emit_event
from conductor.base.settings.hook_settings import HookSettings

#: A million lines of 500 bytes.
MOST_MANIFEST_BYTES = 512 << 20
MOST_DELIVERY_BYTES = 1 << 20
#: What is said to a delivery that its workflow has no job for.
NOTHING_PLANNED: Mapping[str, int] = {"exit_code": 0, "new": 0, "known": 0}
MANIFEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-ndjson": {"schema": {"type": "string", "description": "a manifest's lines"}}
        },
    }
}
DISPATCHED: dict[int | str, dict[str, Any]] = {
    200: {"description": "What `conductor dispatch --json` says", "content": {"application/json": {}}},
    **gives(Problem, "What is wrong with which line; then nothing of it was dispatched", 422),
}

router = APIRouter()


@router.post("/api/v1/manifests", responses=DISPATCHED, openapi_extra=MANIFEST)
async def manifests(
    request: Request,
    who: Annotated[Visitor, Depends(acts)],
    target: Annotated[str | None, Query(description="backlog:NAME; else the workflow's name")] = None,
    dry_run: Annotated[bool, Query(description="Check it all, say what would be new, put nothing")] = False,
    move: Annotated[bool, Query(description="Jobs that wait in another backlog come into this one")] = False,
) -> Response:
    """The jobs of a manifest into a backlog, as `conductor dispatch` does it. Twice is once."""
    stack = stack_of(request)
    file = await received(request, stack.code.manifests_dir / "posted")
    words = [*(("--target", target) if target else ()), *("--dry-run",) * dry_run, *("--move",) * move]
    found = await run_command(stack.code.project, "dispatch", str(file), "--json", *words)
    if not dry_run:
        emit_event("operator.dispatched", "{who}: dispatch {file}", who=who.name, file=str(file))
    return answered(found)


async def received(request: Request, folder: Path) -> Path:
    """What was posted, in a file whose name says its content: the same manifest is the same file."""
    make_own(folder)
    digest = hashlib.sha256()
    handle, draft = tempfile.mkstemp(prefix=".posted-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as sink:
            async for piece in pieces(request, MOST_MANIFEST_BYTES):
                digest.update(piece)
                # A page in memory; the disk is the kernel's to wait for.
                sink.write(piece)
        file = folder / f"{digest.hexdigest()[:16]}.jsonl"
        Path(draft).replace(file)
        return file
    finally:
        Path(draft).unlink(missing_ok=True)


# ── signed deliveries ─────────────────────────────────────────────────────────────────────────────────────


@router.post("/hooks/{name}", dependencies=[Depends(signed)], responses=DISPATCHED)
async def hook(request: Request, name: str) -> Response:
    """A delivery by the rules of Standard Webhooks plans and dispatches what `[hooks.NAME]` says. Delivered
    ten times it is the same jobs: its id names the plan."""
    stack, hooks = stack_of(request), request.app.state.hooks
    settings: HookSettings | None = hooks.get(name)
    if settings is None:
        raise HTTPException(404, "there is no such hook: [hooks.NAME] in conductor.toml declares one")
    body = await sent(request, MOST_DELIVERY_BYTES)
    delivery = verified(settings, body, request.headers)
    busy: dict[str, asyncio.Lock] = request.app.state.deliveries
    lock = busy.setdefault(f"{name} {delivery}", asyncio.Lock())
    try:
        async with lock:
            return await taken(stack, name, settings, delivery, body)
    finally:
        if not lock.locked():
            busy.pop(f"{name} {delivery}", None)


def verified(settings: HookSettings, body: bytes, headers: Mapping[str, str]) -> str:
    """The id of the delivery. Raises 401 where it is not signed, or too old."""
    secret = os.environ.get(settings.secret_env, "")
    if not secret:
        raise ConfigError(f"${settings.secret_env}, which holds this hook's secret, is empty: set it")
    try:
        Webhook(secret).verify(body.decode("utf-8", "replace"), dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):
        raise HTTPException(
            401, "the delivery is not signed with this hook's secret, or is too old"
        ) from None
    return headers["webhook-id"]


async def taken(stack: Stack, name: str, settings: HookSettings, delivery: str, body: bytes) -> Response:
    folder = stack.code.manifests_dir / "hooks"
    make_own(folder)
    # So long that no two deliveries of a lifetime share one: the second would count as known.
    tag = f"{name}-{hashlib.sha256(delivery.encode()).hexdigest()[:24]}"
    manifest, payload = folder / f"{tag}.jsonl", folder / f"{tag}.payload"
    if not manifest.exists():
        keep_payload(payload, body)
        words = [str(payload) if word == "{payload}" else word for word in shlex.split(settings.run)]
        planned = await run_command(stack.code.project, "plan", *words, "-o", str(manifest), "--tag", tag)
        if planned.exit_code:
            # A plan that has no job is an answer, too: told a failure, its sender would come again for days.
            is_nothing = manifest.is_file() and not manifest.stat().st_size
            manifest.unlink(missing_ok=True)
            return json_answer(NOTHING_PLANNED) if is_nothing else answered(planned)
    found = await run_command(
        stack.code.project,
        "dispatch",
        str(manifest),
        "--json",
        "--target",
        f"backlog:{settings.backlog or name}",
    )
    emit_event("operator.dispatched", "{who}: dispatch {file}", who=f"hook {name}", file=str(manifest))
    return answered(found)


def keep_payload(payload: Path, body: bytes) -> None:
    """Whole or not at all: another process of ours may be planning from it, as the same was sent twice."""
    handle, draft = tempfile.mkstemp(prefix=".payload-", dir=payload.parent)
    try:
        with os.fdopen(handle, "wb") as sink:
            sink.write(body)
        Path(draft).replace(payload)
    finally:
        Path(draft).unlink(missing_ok=True)
