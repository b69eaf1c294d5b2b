"""shell with real programs, files.publish with real disks."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pytest
from strangers import give_away, needs_root
from task_bench import Bench

from conductor.base.errors import (
    BadInput,
    DeadlineExceeded,
    JobError,
    NoSpace,
    PublishFailed,
    Refused,
)
from workers.task_api.context import Stopped
from workers.tasks import files_publish, shell

PYTHON = sys.executable


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, shell_programs=(PYTHON, "no-such-program", "env"), shell_env=("TONE", "LD_AUDIT"))


def script(code: str, *args: str) -> dict[str, list[str]]:
    return {"argv": [PYTHON, "-c", code, *args]}


def test_a_program_gets_the_files_of_its_job(bench: Bench):
    source = bench.inputs / "a b.txt"
    source.write_text("hello")
    code = "import sys; open(sys.argv[2], 'w').write(open(sys.argv[1]).read().upper()); print(sys.argv[3])"
    what = {"reads": [source], "writes": ["scratch:out.txt"]}
    result = bench.run(shell.run, script(code, "{in:0}", "{out:0}", "{scratch}/x {other}"), **what)
    assert bench.made("scratch:out.txt").read_text() == "HELLO"
    assert result["exit_code"] == 0
    assert result["stdout_tail"].rstrip().endswith("/work/x {other}")


def test_a_program_finds_what_the_attempt_before_it_kept(bench: Bench):
    code = "import pathlib, sys; f = pathlib.Path(sys.argv[1], 'n'); print(f.exists()); f.touch()"
    said = [bench.run(shell.run, script(code, "{checkpoint}"))["stdout_tail"] for _ in range(2)]
    assert said == ["False\n", "True\n"]


def test_nothing_is_expanded_by_a_shell(bench: Bench):
    result = bench.run(shell.run, script("import sys; print(sys.argv[1])", "$HOME; `id` *"))
    assert result["stdout_tail"] == "$HOME; `id` *\n"


def test_a_program_that_is_not_listed_is_refused_with_what_to_do(bench: Bench):
    with pytest.raises(
        Refused, match=r"'rm' may not be run: add it to shell_programs in conductor\.toml"
    ) as caught:
        bench.run(shell.run, {"argv": ["rm", "-rf", "/"]})
    assert caught.value.cause == "refused"


def test_a_path_to_another_program_of_a_listed_name_is_refused(bench: Bench):
    with pytest.raises(Refused):
        bench.run(shell.run, {"argv": ["./no-such-program"]})


def test_a_shell_string_is_refused(bench: Bench):
    with pytest.raises(BadInput, match=r"args\.argv: expected `array`"):
        bench.run(shell.run, {"argv": "rm -rf /"})


def test_a_failed_program_is_a_task_error_with_its_last_words(bench: Bench):
    with pytest.raises(JobError, match="exit code 3: it broke") as caught:
        bench.run(shell.run, script("import sys; sys.stderr.write('it broke\\n'); sys.exit(3)"))
    assert caught.value.cause == "task_error"


def test_a_program_that_is_not_there_is_named(bench: Bench):
    with pytest.raises(JobError, match="no-such-program"):
        bench.run(shell.run, {"argv": ["no-such-program"]})


def test_a_placeholder_without_a_file_is_bad_input(bench: Bench):
    with pytest.raises(BadInput, match=r"\{in:0\} has no counterpart"):
        bench.run(shell.run, script("", "{in:0}"))


def test_the_environment_and_the_folder_are_the_jobs_own(bench: Bench):
    (bench.inputs / "here").mkdir()
    args = {**script("import os; print(os.environ['TONE'], os.getcwd())"), "env": {"TONE": "low"}}
    result = bench.run(shell.run, {**args, "cwd": str(bench.inputs / "here")})
    assert result["stdout_tail"] == f"low {bench.inputs / 'here'}\n"


@pytest.mark.parametrize(
    "name",
    [
        "LD_PRELOAD",
        "ld_preload",
        "PATH",
        "PYTHONPATH",
        "BASH_ENV",
        "DYLD_INSERT_LIBRARIES",
        "A=B",
        "",
        "https_proxy",
        "TAR_OPTIONS",
        "OPENSSL_CONF",
        "HOME",
        "XDG_CONFIG_HOME",
        "FFREPORT",
        "LD_AUDIT",
        "tone",
        "LC_ALL ",
    ],
)
def test_a_line_does_not_make_a_listed_program_run_other_code(bench: Bench, name: str):
    with pytest.raises(Refused, match="may not set"):
        bench.run(shell.run, {**script("pass"), "env": {name: "/somewhere/evil.so"}})


def test_a_program_gets_what_is_on_the_list_and_nothing_else_of_the_operators_shell(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    passed = {
        "LANG": "C.UTF-8",
        "CUDA_VISIBLE_DEVICES": "1",
        "LC_TIME": "C",
        "TONE": "low",
        "OMP_NUM_THREADS": "2",
    }
    kept = (
        "AWS_SECRET_ACCESS_KEY",
        "GITHUB_TOKEN",
        "OPENAI_API_KEY",
        "TONES",
        "SSH_AUTH_SOCK",
        "CONDUCTOR_REDIS__URL",
    )
    for name, value in {**passed, **dict.fromkeys(kept, "not-for-them")}.items():
        monkeypatch.setenv(name, value)
    shown = bench.run(shell.run, {"argv": ["env"], "env": {"TZ": "UTC"}})["stdout_tail"]
    found = dict(line.split("=", 1) for line in shown.splitlines())
    assert found.items() >= {**passed, "TZ": "UTC", "PATH": os.environ["PATH"]}.items()
    assert "not-for-them" not in shown


@needs_root
def test_a_listed_program_that_lies_in_the_project_has_to_be_ours(bench: Bench):
    tool = bench.settings.project / "tools" / "make-it"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho ran\n")
    tool.chmod(0o755)
    listed = msgspec.structs.replace(bench.settings, shell_programs=(str(tool),))
    bench.settings = listed
    assert bench.run(shell.run, {"argv": [str(tool)]})["stdout_tail"] == "ran\n"
    give_away(tool)
    with pytest.raises(Refused, match="belongs to"):
        bench.run(shell.run, {"argv": [str(tool)]})


def test_a_program_ends_with_its_deadline(bench: Bench):
    with pytest.raises(DeadlineExceeded):
        bench.run(shell.run, script("import time; time.sleep(60)"), timeout_s=0.2)


# ── files.publish ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_copy_has_the_checksum_of_its_source(bench: Bench):
    content = os.urandom(5_000_000)
    bench.settings.roots["scratch"].path.joinpath("reel.bin").write_bytes(content)
    result = bench.run(files_publish.run, reads=["scratch:reel.bin"], writes=["published:2026/reel.bin"])
    assert result == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert bench.made("published:2026/reel.bin").read_bytes() == content
    assert bench.progress[-1] == 1.0


def test_a_source_that_is_gone_is_bad_input(bench: Bench):
    with pytest.raises(BadInput, match="not there"):
        bench.run(files_publish.run, reads=["scratch:gone.mp4"], writes=["published:gone.mp4"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_target_is_no_space(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    bench.settings.roots["scratch"].path.joinpath("a").write_bytes(b"x" * 100)
    ctx = bench.context(reads=["scratch:a"], writes=["published:a"])

    def full(path: str) -> Any:
        return Path("/dev/full").open("w+b", buffering=0)

    monkeypatch.setattr(ctx, "create", full)
    with pytest.raises(NoSpace, match="no room left"):
        files_publish.run({}, ctx)


def test_a_target_that_cannot_be_written_is_told_from_a_bad_source(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    bench.settings.roots["scratch"].path.joinpath("a").write_bytes(b"x")
    ctx = bench.context(reads=["scratch:a"], writes=["published:a"])

    def refuse(path: str) -> BinaryIO:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(ctx, "create", refuse)
    with pytest.raises(PublishFailed, match="cannot be written to"):
        files_publish.run({}, ctx)


def test_a_copy_that_reads_back_differently_is_not_published(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    bench.settings.roots["scratch"].path.joinpath("a").write_bytes(b"good")
    copied = files_publish.copied

    def spoil(source: BinaryIO, target: BinaryIO, *rest: object) -> tuple[str, int]:
        answer = copied(source, target, *rest)  # type: ignore[arg-type]
        target.seek(0)
        target.write(b"baad")
        return answer

    monkeypatch.setattr(files_publish, "copied", spoil)
    with pytest.raises(PublishFailed, match="reads back differently"):
        bench.run(files_publish.run, reads=["scratch:a"], writes=["published:a"])


def test_a_copy_leaves_when_told(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    bench.settings.roots["scratch"].path.joinpath("a").write_bytes(b"x")
    ctx = bench.context(reads=["scratch:a"], writes=["published:a"])
    monkeypatch.setattr(ctx, "should_stop", lambda: True)
    with pytest.raises(Stopped):
        files_publish.run({}, ctx)
