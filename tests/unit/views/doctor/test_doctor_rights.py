"""What `doctor` says of who could do what: programs that run others, secrets that others can read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.base.project import program_launchers
from conductor.base.settings.settings import CONFIG_NAME, Settings
from conductor.views.doctor.rights import programs, readable_secrets


@pytest.mark.parametrize(
    "name",
    [
        "sort",
        "/usr/bin/sort",
        "systemd-run",
        "tar",
        "find",
        "ssh",
        "git",
        "xargs",
        "env",
        "awk",
        "gawk",
        "mawk",
        "sed",
        "perl5.36",
        "python",
        "python3",
        "python3.12",
        "make",
        "bash",
        "sh",
        "gcc-12",
        "rsync",
        "convert",
        "magick",
        "split",
        "nice",
        "timeout",
        "vim",
        "less",
        "zip",
        "sox",
        "sqlite3",
        "php8.2",
        "busybox",
        "npx",
        "docker",
    ],
)
def test_programs_that_run_others_are_known_by_name_and_version(name: str) -> None:
    assert program_launchers.how(name)


@pytest.mark.parametrize(
    "name", ["uniq", "cp", "cut", "ffmpeg", "ffprobe", "md5sum", "sha256sum", "gzip", "flac", "b2sum"]
)
def test_those_that_do_not_are_not(name: str) -> None:
    assert program_launchers.how(name) is None


def test_doctor_says_which_of_the_listed_ones_do(tmp_path: Path) -> None:
    renamed = tmp_path / "harmless"
    renamed.symlink_to("/usr/bin/env")
    listed = ("sort", "uniq", "no-such-program", str(renamed))
    found = list(programs(Settings(project=tmp_path, shell_programs=listed)))
    assert [f.mark for f in found] == ["-- ", "ok ", "BAD", "-- "]
    assert "runs any program" in found[0].words and "--compress-program" in found[0].words
    assert "a script of yours" in found[0].advice and "whatever you may" in found[1].words


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Where others get to: pytest's own folders keep them out."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(
    ("name", "content", "is_said"),
    [
        (CONFIG_NAME, 'redis.url = "redis://:a-password@host"', True),
        (CONFIG_NAME, 'redis.url = "rediss://host:6379/0?password=hunter22"', True),
        (CONFIG_NAME, '[endpoints.x]\nbase_url = "https://host/v1?key=abcdef"', True),
        (CONFIG_NAME, 'redis.url = "redis://host:6379/0"\n[endpoints.x]\napi_key_env = "THE_KEY"', False),
        (CONFIG_NAME + ".restored", 'redis.url = "redis://:a-password@host"', True),
        (".env", "export OPENAI_API_KEY='sk-123'\n", True),
        ("prod.env", "A=1\nDB_PASSWORD=x\n", True),
        (".env.local", "CONDUCTOR_REDIS__URL=redis://u:pw@h\n", True),
        ("prod.env", "# API_KEY=none\nAPI_KEY=\nLANG=C\n", False),
        ("notes.txt", "PASSWORD=x\n", False),
    ],
)
def test_a_secret_that_others_can_read_is_a_line(
    open_folder: Path, name: str, content: str, is_said: bool
) -> None:
    file = open_folder / name
    file.write_text(content)
    file.chmod(0o644)
    found = list(readable_secrets(Settings(project=open_folder)))
    assert [f.mark for f in found] == ["BAD"] * is_said
    if found:
        assert "everybody can read it" in found[0].words and found[0].advice == f"chmod 600 {file}"
    file.chmod(0o600)
    assert not list(readable_secrets(Settings(project=open_folder)))


def test_a_folder_that_nobody_else_enters_keeps_its_secrets(open_folder: Path) -> None:
    (open_folder / ".env").write_text("API_KEY=x")
    (open_folder / ".env").chmod(0o644)
    open_folder.chmod(0o700)
    assert not list(readable_secrets(Settings(project=open_folder)))
