"""A CRM that sends signed deliveries, some twice and some forged; a worn-out creative, and a known winner."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from standardwebhooks import Webhook

from conductor.adapters.files.web_files import web_url_file
from conductor.adapters.host.processes import spawn
from conductor.base.errors import ConductorError, ConfigError
from conductor.base.settings.settings import CONFIG_NAME, load
from conductor.base.text import printable
from conductor.client import Client
from conductor.planning import note
from workflows.ads import samples, search

SECRET = "ADS_DEMO_SECRET"
SETTINGS = f"""
[stores.ads]
url = "sqlite:data/ads.db"
[roots.data]
path = "data"
[hooks.crm]
secret_env = "{SECRET}"
run = "ads event {{payload}} --attribution last_touch"
backlog = "ads"
[web]
port = 0
[dashboard]
is_on = false
"""
#: Deliveries that are no business of ours: what the intake has to say to each is known.
FORGED = ("with another secret", "an hour old", "altered on its way")
START_S = 30.0
LOOK_S = 0.3


@contextmanager
def stage(folder: Path) -> Generator[Sequence[str]]:
    settings = folder / CONFIG_NAME
    if "[stores.ads]" not in settings.read_text(encoding="utf-8"):
        with settings.open("a", encoding="utf-8") as file:
            file.write(SETTINGS)
    figures, creatives = samples.make_files(folder / "inputs")
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    with web(folder, secret) as address:
        send(address, secret)
        argv = ["day", str(folder / "manifests" / "hooks"), "--least-leads", "3", "--sure", "0.9"]
        with reviewer(folder):
            yield [*argv, "--figures", str(figures), "--creatives", str(creatives)]
    ask(folder, "shoes for running")


@contextmanager
def web(folder: Path, secret: str) -> Generator[str]:
    """`conductor web` of the demo's project, and its address."""
    file = web_url_file(load(folder).state_dir)
    file.unlink(missing_ok=True)
    env = {"CONDUCTOR_PROJECT": str(folder), SECRET: secret}
    server = spawn([sys.executable, "-m", "conductor", "web"], env=env, output=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_S
        while not file.exists() or not file.read_text(encoding="utf-8").strip():
            if server.poll() is not None or time.monotonic() > until:
                raise ConfigError(f"`conductor web` of {folder} did not come up: its logs say why")
            time.sleep(0.05)
        yield file.read_text(encoding="utf-8").strip()
    finally:
        server.terminate()
        server.wait()


# ── the CRM ───────────────────────────────────────────────────────────────────────────────────────────────


def send(address: str, secret: str) -> None:
    """Every delivery, each third twice at once, and some that nobody of ours has signed."""
    bodies = samples.deliveries()
    once = list(bodies.items())
    every = [each for n, each in enumerate(once) for _ in range(2 if n % 3 == 0 else 1)]
    with httpx.Client(base_url=address, timeout=120.0) as crm:
        with ThreadPoolExecutor(4) as pool:
            said = [pool.submit(delivered, crm, name, body, secret) for name, body in every]
        answers = {each.result() for each in said}
        refused = [forged(crm, kind, secret) for kind in FORGED]
    if answers != {200} or set(refused) != {401}:
        raise ConfigError(f"the intake answered {sorted(answers)} to the CRM, {refused} to forged deliveries")
    twice = len(every) - len(once)
    note(
        f"the CRM sent {len(once)} deliveries, {twice} of them twice; {len(refused)} forged ones were refused"
    )


def delivered(crm: httpx.Client, name: str, body: bytes, secret: str, ago_s: float = 0.0) -> int:
    """→ the status of the answer."""
    moment = datetime.now(UTC) - timedelta(seconds=ago_s)
    headers = {
        "webhook-id": name,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(name, moment, body.decode()),
    }
    return crm.post("hooks/crm", content=body, headers=headers).status_code


def forged(crm: httpx.Client, kind: str, secret: str) -> int:
    body = samples.body_of(28, samples.TIRED, "lost")
    if kind == "an hour old":
        return delivered(crm, "msg_old", body, secret, ago_s=3600)
    if kind == "altered on its way":
        moment = datetime.now(UTC)
        signature = Webhook(secret).sign("msg_altered", moment, body.decode())
        stamp = str(int(moment.timestamp()))
        headers = {"webhook-id": "msg_altered", "webhook-timestamp": stamp, "webhook-signature": signature}
        return crm.post("hooks/crm", content=body.replace(b"lost", b"won"), headers=headers).status_code
    other = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    return delivered(crm, "msg_other", body, other)


# ── the person ────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def reviewer(folder: Path) -> Generator[None]:
    """Somebody who looks at what is shown, and agrees. Without them the run would wait for its user."""
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(LOOK_S):
            try:
                with Client.here(folder, actor="the demo") as conductor:
                    for row in conductor.reviews().rows:
                        note(f"the reviewer agrees: {row.items[0].item.words}")
                        conductor.judge(row.job_id, is_accepted=True, note="seen in the demo")
            except ConductorError as e:
                note(f"the reviewer looks again: {e}")

    thread = threading.Thread(target=look, name="reviewer", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def ask(folder: Path, question: str) -> None:
    """What a user would type; the demo's last line but one."""
    os.environ["CONDUCTOR_PROJECT"] = str(folder)
    try:
        found = search.searched(search.parsed([question, "--top", "2"]), load(folder).for_code)
    except ConductorError as e:
        note(str(e))
        return
    print(f"search {question!r}:")  # noqa: T201  the demo's own output
    for line in search.lines(found):
        print(f"  {printable(line)}")  # noqa: T201  the demo's own output
