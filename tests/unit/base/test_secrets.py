"""Secrets: masked wherever words go out, and not inherited by what a job runs."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from conductor.base import secrets
from conductor.base.errors import JobError
from conductor.base.logs import logs
from conductor.base.settings.endpoint_settings import Endpoint
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from tests.builders import a_spec
from workers.task_api.context import JobContext
from workers.task_api.failure_causes import of_exception
from workers.task_api.run_program import run_program

KEY, PASSWORD, SIGNING = "sk-this-is-a-key", "pass%2Fword-of-redis", "signing-key-value"
TOML = """\
[redis]
url = "redis://worker:pass%2Fword-of-redis@127.0.0.1:1/0"
signing_key_env = "MY_SIGNING_KEY"
[endpoints.cloud]
base_url = "http://127.0.0.1:9"
api_key_env = "MY_API_KEY"
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("MY_API_KEY", KEY)
    monkeypatch.setenv("MY_SIGNING_KEY", SIGNING)
    monkeypatch.setenv("CONDUCTOR_DASHBOARD__REDIS_URL", "redis://reader:readers-word@127.0.0.1:1")
    monkeypatch.setattr(secrets, "_known", set[str]())
    (tmp_path / CONFIG_NAME).write_text(TOML)
    yield load(tmp_path)
    logger.remove()
    logger.add(sys.stderr)


ALL = (KEY, PASSWORD, "pass/word-of-redis", SIGNING, "readers-word")


def test_loading_the_settings_is_enough_to_have_every_secret_masked(settings: Settings):
    said = secrets.scrub(f"tried {' and '.join(ALL)}, in vain")

    assert said == "tried *** and *** and *** and *** and ***, in vain"
    assert secrets.scrub_all({"a": [KEY, 1], KEY: None}) == {"a": ["***", 1], "***": None}


def test_a_short_word_is_no_secret_and_a_longer_one_hides_whole(settings: Settings):
    assert (
        secrets.mask("a cat in a category of words", ["cat", "category", "category of"])
        == "a cat in a *** words"
    )


def test_no_log_line_and_no_trace_holds_a_secret(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = logs.set_up(tmp_path / "logs", "test")
    assert file is not None
    hidden = KEY
    try:
        raise ValueError(f"refused {hidden}")
    except ValueError:
        logger.bind(sent=KEY, nested={"x": [PASSWORD]}).opt(exception=True).error("sent {}", SIGNING)

    text, shown = file.read_text(), capsys.readouterr().err
    assert not any(secret in text + shown for secret in ALL)
    line = json.loads(text)
    assert (
        line["message"] == "sent ***"
        and "refused ***" in line["exception"]
        and line["nested"] == {"x": ["***"]}
    )


def test_a_trace_names_no_values(settings: Settings, capsys: pytest.CaptureFixture[str]):
    """loguru's own default writes every variable of every frame beside the line."""
    control = io.StringIO()
    logs_file = logs.set_up(settings.project / "logs", "test")
    logger.add(control, diagnose=True)
    unspoken = "value-of-a-variable"
    try:
        unspoken.index("never in it")
    except ValueError:
        logger.opt(exception=True).error("broken")

    assert logs_file is not None
    assert unspoken in control.getvalue(), "the control shows the hole"
    assert unspoken not in logs_file.read_text() + capsys.readouterr().err


class Odd:
    def __str__(self) -> str:
        return f"sent {KEY}"


def test_what_becomes_a_text_only_in_the_line_is_masked_too(settings: Settings, tmp_path: Path):
    file = logs.set_up(tmp_path / "logs", "test")
    logger.bind(request=Odd()).info("x")
    assert file is not None and json.loads(file.read_text())["request"] == "sent ***"


def test_a_death_nobody_foresaw_is_told_without_secrets(settings: Settings, tmp_path: Path):
    program = (
        "import threading; from pathlib import Path; from conductor.base.logs import logs; from "
        "conductor.base.settings import settings; "
        f"settings.load(Path({str(settings.project)!r})); logs.set_up(Path({str(tmp_path / 'l')!r}), 't')\n"
        "def die(): raise ValueError('thread sent ' + __import__('os').environ['MY_API_KEY'])\n"
        "t = threading.Thread(target=die); t.start(); t.join(); die()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1 and KEY not in done.stderr
    assert done.stderr.count("ValueError: thread sent ***") == 2


@pytest.mark.parametrize(
    ("url", "shown", "found"),
    [
        ("https://h/v1?key=abc-defg&api-version=2", "https://h/v1?key=***&api-version=2", {"abc-defg"}),
        (
            "redis://h:1/0?db=2&password=pa%20ss%2Bwd",
            "redis://h:1/0?db=2&password=***",
            {"pa%20ss%2Bwd", "pa ss+wd"},
        ),
        ("https://token-of-mine@h/v1", "https://***@h/v1", {"token-of-mine"}),
        ("redis://worker@h/0", "redis://worker@h/0", set()),
        ("https://h/v1?x-api-token=abc@defg/h", "https://h/v1?x-api-token=***", {"abc@defg/h"}),
        ("https://u:p/w@d-or-so@h:1/v1?a=b", "https://u:***@h:1/v1?a=b", {"p/w@d-or-so"}),
        ("", "", set()),
    ],
)
def test_what_an_address_hides(url: str, shown: str, found: set[str]):
    assert secrets.without_passwords(url) == shown
    assert secrets.passwords(url) == found


def test_what_an_endpoints_parameters_call_a_secret_is_one(tmp_path: Path):
    from conductor.base.settings.origin import settings_with_origin

    parameters = {"extra": {"api_key": "not-for-your-eyes"}, "auth_token": "nor-this-one", "max_tokens": 7}
    settings = Settings(
        endpoints={"a": Endpoint(base_url="http://h?key=hidden-key", parameters=parameters)}, project=tmp_path
    )
    assert secrets.values(settings.secrets, {}) == {"not-for-your-eyes", "nor-this-one", "hidden-key"}
    rows = {row.key: row.value for row in settings_with_origin(settings)}
    assert not any(word in str(rows) for word in ("not-for-your-eyes", "nor-this-one", "hidden-key"))
    assert rows["endpoints.a.parameters.max_tokens"] == 7


def test_a_proxys_password_is_one(settings: Settings):
    assert "proxy-word" in secrets.values(settings.secrets, {"HTTPS_PROXY": "http://me:proxy-word@proxy:1"})


def test_the_message_of_a_failure_holds_no_secret(settings: Settings):
    assert of_exception(JobError(f"401 for {KEY}"), has_device=False).message == "401 for ***"
    said = of_exception(RuntimeError(f"https://u:{KEY}@host"), has_device=False)
    assert said.message == "RuntimeError: https://u:***@host"


@pytest.mark.parametrize(
    "name",
    ["CONDUCTOR_REDIS__URL", "CONDUCTOR_REDIS", "conductor_redis__url", "CONDUCTOR_DASHBOARD__REDIS_URL"],
)
def test_a_program_of_a_job_inherits_no_secret(
    settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(name, f"redis://:{PASSWORD}@x")
    monkeypatch.setenv("HARMLESS", "yes")
    got = bytearray()
    ctx = JobContext(a_spec(), settings.for_code, timeout_s=20)

    run_program([sys.executable, "-c", "import os; print(dict(os.environ))"], ctx, on_stdout=got.extend)

    assert not any(secret in got.decode() for secret in ALL) and "'HARMLESS': 'yes'" in got.decode()
    assert name in os.environ, "the worker itself has it"


def test_the_process_of_the_bodies_keeps_the_api_key_and_nothing_else(settings: Settings):
    environment = secrets.for_bodies(settings.secrets)

    assert environment["MY_API_KEY"] == KEY
    assert not any(secret in "".join(environment.values()) for secret in ALL if secret != KEY)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:p@ss@h/0", "redis://u:***@h/0"),
        ("redis://:p@h", "redis://:***@h"),
        ("redis://h:1/0", "redis://h:1/0"),
        ("unix:///tmp/x.sock", "unix:///tmp/x.sock"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str):
    from conductor.base.settings.origin import shown as shown_setting

    assert shown_setting("redis.url", url) == shown
