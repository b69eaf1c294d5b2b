"""The wheel outside the checkout: in an environment of its own it works the same in a user's project
folder.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from cli_tools import program

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the files git knows, with the backend that is installed: nothing is fetched."""
    pytest.importorskip("hatchling", reason="the build group is not installed")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=100)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with the wheel in it; its dependencies are those of the tests'
    environment.
    """
    home = tmp_path_factory.mktemp("env")
    venv.create(home, symlinks=True, with_pip=False)
    scheme = {"base": str(home), "platbase": str(home)}
    packages = Path(sysconfig.get_path("purelib", scheme="venv", vars=scheme))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    borrowed = Path(sysconfig.get_path("purelib"))
    # By path and without its .pth files: one of them is the checkout itself.
    (packages / "borrowed.pth").write_text(f"{borrowed}\n")
    python = home / "bin" / "python"
    # As pip does: else each of a dozen processes would do it.
    subprocess.run([python, "-m", "compileall", "-q", packages], check=True, capture_output=True, timeout=100)
    return python


def test_the_wheel_holds_the_code_and_nothing_else(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        "conductor",
        "workers",
        "workflows",
    }
    assert any(name.endswith("adapters/redis/lua/admit.lua") for name in names)
    assert {"conductor/py.typed", "workers/py.typed"} <= set(names)
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)


def test_the_installed_package_runs_in_an_empty_project_folder(python: Path, tmp_path: Path):
    one_each = {f"CONDUCTOR_LANES__{lane}__WORKERS": "1" for lane in ("CPU", "IO", "CLOUD")}
    env = {"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1", **one_each}

    def run(*argv: str) -> tuple[int, str]:
        done = program(str(python), *argv, cwd=tmp_path, env=env)
        return done.code, done.out + done.err

    code, where = run("-c", "import conductor, workers, workflows; print(conductor.__file__)")
    assert code == 0
    assert str(python.parent.parent) in where, "the wheel's, not the checkout's"
    planned = run("-m", "conductor", "plan", "system_test", "--mode", "debug", "--count", "4")
    assert planned[0] == 0, planned
    (manifest,) = (tmp_path / "manifests").glob("*.jsonl")
    for command in (("dispatch", str(manifest)), ("conduct", "--until-done"), ("verify", str(manifest))):
        code, words = run("-m", "conductor", *command)
        assert code == 0, words


def test_a_project_without_settings_needs_no_file(python: Path, tmp_path: Path):
    shown = program(str(python), "-m", "conductor", "config", "show", cwd=tmp_path)

    assert shown.code == 0
    assert f'project = "{tmp_path}"' in shown.out
