"""A real Slurm for tests: a controller and one node in a folder, on loopback and on free ports, killed and
started again at will. Its programs are those of `scripts/slurm-for-tests`, unpacked and not installed.
"""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from free_ports import a_free_port

from workers.system.process_tree import die_with_parent

#: Where `scripts/slurm-for-tests` puts it.
ROOT = Path(__file__).parents[1] / ".slurm" / "root"
NODE = "lab1"
START_S = 60.0
LOOK_S = 0.05

#: Authentication, credentials and cgroups are off, since all is one user's on one machine. The scheduler's
#: intervals are short, since no test wants to wait for them.
CONFIGURATION = """
ClusterName=lab
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
PluginDir={plugins}
StateSaveLocation={folder}/state
SlurmdSpoolDir={spool}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=2,sched_min_interval=0
PriorityType=priority/basic
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs-done
{gres_types}
Licenses=nuke:2
MinJobAge=300
MessageTimeout=3
KillWait=5
InactiveLimit=0
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={node} NodeAddr=127.0.0.1 NodeHostname=localhost Port={node_port} CPUs={cpus} RealMemory=16000 {gres}State=UNKNOWN
PartitionName=night Nodes={node} Default=YES MaxTime=12:00:00 State=UP
PartitionName=short Nodes={node} MaxTime=00:10:00 State=UP
"""  # noqa: E501


class SlurmDaemons:
    """`NODE` has `cpus` cores, 16,000 MB and `vram:24`; there are two licences `nuke`, and the partitions
    `night` and `short`. Programs that are to talk to it need `environment`.
    """

    def __init__(self, folder: Path, cpus: int = 2, with_vram: bool = True) -> None:
        """Without `vram` where the controller is killed while work is there: Slurm 22.05 takes a resource
        without files over from nobody, so it is set by hand, and a node that tells of itself after that is
        called invalid and drained.
        """
        self.folder = folder
        (folder / "state").mkdir(parents=True, exist_ok=True)
        # Its sockets are there, whose paths are at most 108 bytes long: a test's own folder is too deep.
        self._spool = tempfile.TemporaryDirectory(prefix="slurm-")
        self._with_vram = with_vram
        (folder / "gres.conf").write_text(f"NodeName={NODE} Name=vram Count=24\n" if with_vram else "")
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                folder=folder, spool=self._spool.name, plugins=plugins(), user=getpass.getuser(), node=NODE,
                cpus=cpus,
                gres="Gres=vram:24 " if with_vram else "", gres_types="GresTypes=vram" if with_vram else "",
                controller_port=a_free_port(), node_port=a_free_port(),
            )
        )  # fmt: skip
        self._controller: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "LD_LIBRARY_PATH": f"{plugins().parent}:{plugins()}",
            "PATH": f"{ROOT / 'usr/bin'}:{os.environ['PATH']}",
        }

    def run(self, *command: str) -> str:
        """The output of one of Slurm's programs. Raises `CalledProcessError`."""
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=START_S, cwd=self.folder,
            env={**os.environ, **self.environment},
        ).stdout  # fmt: skip

    def start(self) -> None:
        """Returns when the node is there and has its memory of `vram`."""
        self.start_controller(with_node=False)
        step = ROOT / "usr/sbin/slurmstepd-wlm"
        self._node = self._daemon("slurmd-wlm", "-D", "-N", NODE, "-d", str(step))
        self._await_node()

    def start_controller(self, with_node: bool = True) -> None:
        """A controller that has just begun says of everything that it could never run, until its node has
        told of itself, some seconds later.
        """
        self._controller = self._daemon("slurmctld-wlm", "-D")
        self.until(lambda: self._says("UP", "scontrol", "ping"))
        if with_node:
            self.run("scontrol", "reconfigure")  # asks the node at once
            self._await_node()

    def _await_node(self) -> None:
        self.until(lambda: not self._says("unk", "sinfo", "--noheader", "--Format=StateLong"))
        # What gres.conf says of a resource without files is not taken over when the node tells of itself.
        if self._with_vram:
            self.run("scontrol", "update", f"NodeName={NODE}", "Gres=vram:24")

    def resume_node(self) -> None:
        """As an administrator does, where a node was drained."""
        if self._says("drain", "sinfo", "--noheader", "--Format=StateLong"):
            self.run("scontrol", "update", f"NodeName={NODE}", "State=RESUME")

    def kill_controller(self) -> None:
        """As a power cut would: it forgets what it took and did not write yet, which may be of the last five
        seconds. Jobs live on at the node.
        """
        assert self._controller is not None
        self._controller.kill()
        self._controller.wait()

    def freeze(self) -> None:
        """A controller that takes connections and gives no answer; jobs run on."""
        assert self._controller is not None
        self._controller.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._controller is not None
        self._controller.send_signal(signal.SIGCONT)

    def make_ready(self) -> None:
        """Ends the jobs of the test before, and starts a controller that it left killed."""
        assert self._controller is not None
        if self._controller.poll() is not None:
            self.start_controller()
        self.resume_node()
        self.run("scancel", "--full", "--signal=KILL", f"--user={getpass.getuser()}")
        self.run("scancel", f"--user={getpass.getuser()}")
        self.until(lambda: not self.run("squeue", "--noheader"))

    def await_saved(self, name: str) -> None:
        """Returns when the controller has written its jobs as they are now, this one among them."""
        state, now = self.folder / "state" / "job_state", time.time()
        ids = self.run("squeue", "--noheader", "--format=%i", f"--name={name}").split()
        self.run(
            "scontrol", "update", f"JobId={ids[0]}", "Comment=saved"
        )  # else it may have nothing to write
        self.until(lambda: state.exists() and state.stat().st_mtime > now)

    def stop(self) -> None:
        """Ends the daemons, and all that their jobs left."""
        for process in (self._controller, self._node):
            if process is not None:
                process.kill()
                process.wait()
        left = self.processes()
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=START_S)
        self._spool.cleanup()

    def processes(self) -> list[psutil.Process]:
        """The daemons, jobs' bodies, and the steps that watch over them, which are nobody's children."""
        found = list[psutil.Process]()
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.pid != os.getpid() and (self._is_told_of(process) or self._is_step(process)):
                    found.append(process)
        return found

    def _is_told_of(self, process: psutil.Process) -> bool:
        return process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"]

    def _is_step(self, process: psutil.Process) -> bool:
        """A step overwrites its environment with its title; it has the node's log open."""
        if not process.name().startswith("slurmstepd"):
            return False
        opened = Path(f"/proc/{process.pid}/fd").iterdir()
        return any(str(file.readlink()).startswith(f"{self.folder}/") for file in opened)

    def _daemon(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        parent = os.getpid()
        with (self.folder / f"{name}.out").open("ab") as out:
            return subprocess.Popen(
                [ROOT / "usr/sbin" / name, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                cwd=self.folder, env={**os.environ, **self.environment},
                preexec_fn=lambda: die_with_parent(signal.SIGKILL, parent),
            )  # fmt: skip

    def _says(self, word: str, *command: str) -> bool:
        with suppress(subprocess.CalledProcessError):
            return word in self.run(*command)
        return False

    def until(self, is_so: Callable[[], bool]) -> None:
        """Slurm tells nobody that it is ready: it is asked."""
        end = time.monotonic() + START_S
        while not is_so():
            for daemon in (self._controller, self._node):
                assert daemon is None or daemon.poll() is None, self._said()
            assert time.monotonic() < end, self._said()
            time.sleep(LOOK_S)

    def _said(self) -> str:
        logs = [*self.folder.glob("*.log"), *self.folder.glob("*.out")]
        return "Slurm is not as it should be:\n" + "\n".join(log.read_text()[-2000:] for log in logs)


def is_unpacked() -> bool:
    return (ROOT / "usr/bin/sbatch").exists()


def plugins() -> Path:
    return next(ROOT.glob("usr/lib/*/slurm-wlm"))


@contextmanager
def running_slurm(folder: Path, cpus: int = 2, with_vram: bool = True) -> Generator[SlurmDaemons]:
    slurm = SlurmDaemons(folder, cpus, with_vram)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()
