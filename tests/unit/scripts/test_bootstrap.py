"""scripts/bootstrap where it has nothing to install, or nothing to install with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
#: What the script itself needs; no Python and no uv among them.
TOOLS = ("bash", "env", "dirname", "cat", "cut", "sha256sum", "mkdir", "flock", "rm", "chmod")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("scripts/bootstrap", "pyproject.toml", "locks/dev.txt", "locks/cpu.txt", "locks/gpu.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    return tmp_path


def bootstrap(checkout: Path, *argv: str) -> tuple[int, str]:
    """With a PATH of the bare tools and no home."""
    command = [str(checkout / "tools" / "bash"), "scripts/bootstrap", *argv]
    done = subprocess.run(
        command,
        cwd=checkout,
        env={"PATH": str(checkout / "tools")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def program(checkout: Path, name: str, content: str) -> None:
    file = checkout / "tools" / name
    file.write_text(f"#!{checkout}/tools/bash\n{content}\n")
    file.chmod(0o755)


def test_without_a_python_it_says_which_to_install(checkout: Path):
    code, words = bootstrap(checkout)

    assert (code, words.count("\n")) == (3, 1)
    assert "no Python 3.11 to 3.14 found on PATH" in words


def test_a_python_without_ensurepip_is_named_with_the_package_to_install(checkout: Path):
    # Good for everything but `import venv,ensurepip`.
    program(checkout, "python3", f'[ "$2" != "import venv,ensurepip" ] && exec {sys.executable} "$@"; exit 1')

    code, words = bootstrap(checkout)

    assert code == 3
    assert "python3 lacks venv or ensurepip: install the package python3-venv" in words


def test_a_shim_that_runs_nothing_is_passed_over(checkout: Path):
    program(checkout, "python3.13", "exit 127")

    assert bootstrap(checkout)[0] == 3


def test_an_environment_of_the_same_lock_is_left_as_it_is(checkout: Path):
    program(checkout, "uv", 'while [ $# -gt 1 ]; do shift; done; mkdir -p "$1"; : > "$1/called-uv"; exit 1')
    fake = checkout / ".venv" / "bin"
    fake.mkdir(parents=True)
    (fake / "python").symlink_to(sys.executable)

    broken, words = bootstrap(checkout, "cpu")
    assert broken == 3, "no stamp: it installs, and this uv installs nothing"
    assert "the packages could not be installed" in words

    stamp = checkout / ".venv" / ".conductor-stamp"
    assert not stamp.exists(), "a set-up that failed is no set-up"
    digest = subprocess.run(
        ["bash", "-c", "cat locks/cpu.txt pyproject.toml scripts/bootstrap | sha256sum | cut -c1-64"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    stamp.write_text(f"cpu {digest}")
    assert bootstrap(checkout, "cpu") == (0, "")

    (checkout / "locks" / "cpu.txt").write_text("# another lock\n")
    assert bootstrap(checkout, "cpu")[0] == 3, "another lock: it installs again"


def test_an_unknown_wish_is_a_usage_error(checkout: Path):
    assert bootstrap(checkout, "everything") == (2, "bootstrap: usage: scripts/bootstrap [cpu|gpu|dev]\n")


def test_no_lock_names_a_host_or_a_path():
    for lock in (ROOT / "locks").iterdir():
        text = lock.read_text()
        assert "http:" not in text and "https:" not in text and "file:" not in text, lock.name
        assert "--hash=sha256:" in text
