"""A real shared library in NVML's place, built on the spot; its devices are lines of a file that a test
rewrites.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("nvml_stub.c")


@dataclass
class Nvml:
    """`env` is for the process that is to see the stub; LD_LIBRARY_PATH is read when a process starts."""

    library: Path
    state: Path

    @property
    def env(self) -> dict[str, str]:
        return {"LD_LIBRARY_PATH": str(self.library), "NVML_STUB_STATE": str(self.state)}

    def lines(self) -> list[str]:
        return self.state.read_text().splitlines()

    def show(self, *devices: str) -> None:
        """One string per device, see `device`; or «driver: lost», «driver: absent»."""
        draft = self.state.with_suffix(".draft")
        draft.write_text("".join(line + "\n" for line in devices))
        draft.replace(self.state)

    def swap(self) -> None:
        """NVML lists the devices in the opposite order, with all that is held on them."""
        with self.state.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.show(*reversed(self.lines()))


def device(
    index: int,
    total_mib: int = 24576,
    used_mib: int | None = 0,
    is_lost: bool = False,
    processes: Sequence[tuple[int | str, int | None]] = (),
    *,
    lists: bool = True,
    degrees: int | None = None,
) -> str:
    """`used_mib` None: neither this nor the total is told. Not `lists`: nobody is told who holds what.
    `degrees`: None: how hot it is is not told either."""
    holders = " ".join(f"{pid}:{'NA' if mib is None else mib}" for pid, mib in processes)
    used = "NA" if used_mib is None else used_mib
    state = "lost" if is_lost else "ok" if lists else "unlisted"
    state += "" if degrees is None else f"@{degrees}"
    return f"Stub-{index} GPU-stub-{index} {total_mib} {used} {state} {holders}".strip()


def divided(index: int, *slices_mib: int) -> list[str]:
    """A card in MIG mode with slices of these sizes, as lines."""
    card = f"Stub-{index} GPU-stub-{index} {sum(slices_mib)} 0 mig"
    return [
        card,
        *(f"Stub-{index}-slice MIG-stub-{index}-{n} {mib} 0 slice" for n, mib in enumerate(slices_mib)),
    ]


#: For a module of tasks: bodies that take VRAM of the stub, and lose it with their process, as on a real
#: device.
TASKS = '''
import fcntl, os, subprocess, sys, time
from pathlib import Path
from workers import task

def take(state, mib, uuids):
    """This process holds so much on each of these devices from now on."""
    state = Path(state)
    with open(state.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lines = state.read_text().splitlines()
        for i, line in enumerate(lines):
            words = [word for word in line.split() if not word.startswith(f"+{os.getpid()}:")]
            lines[i] = " ".join([*words, *([f"+{os.getpid()}:{mib}"] if mib and words[1] in uuids else [])])
        draft = state.with_suffix(".draft")
        draft.write_text("".join(line + "\\n" for line in lines))
        draft.replace(state)

def visible():
    return [word for word in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if word]

@task("vram.hold", lane="gpu", timeout_s=60.0)
def hold(args, ctx):
    """Takes args.mib on each device that it sees, until the file args.until is there."""
    began = time.time()
    take(args["state"], args["mib"], visible())
    while not os.path.exists(args["until"]) and not ctx.should_stop():
        time.sleep(0.01)
    take(args["state"], args.get("leaves", 0), visible())
    ended = time.time()
    return {"visible": os.environ["CUDA_VISIBLE_DEVICES"], "pid": os.getpid(), "began": began, "ended": ended}
'''


def build(folder: Path) -> Path:
    """The folder that holds libnvidia-ml.so.1; skips the test where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler for the NVML stub")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", library, SOURCE], check=True)
    return folder


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def nvml(nvml_library: Path, tmp_path: Path) -> Nvml:
    """Import both fixtures by name into the test module that wants them. Shows no device at first."""
    stub = Nvml(nvml_library, tmp_path / "nvml.state")
    stub.show()
    return stub
