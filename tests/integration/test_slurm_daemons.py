"""What the adapter of Slurm has to live with, asked of a real one: a killed controller finds again what it
had saved, and forgets what it had only accepted.
"""

from __future__ import annotations

from pathlib import Path

from slurm_daemons import SlurmDaemons, running_slurm

SLEEP = ("--mem=100", "--wrap=sleep 600")


def states(slurm: SlurmDaemons) -> dict[str, str]:
    lines = slurm.run("squeue", "--noheader", "--format=%j %T").splitlines()
    return dict(line.split() for line in lines)


def test_what_a_killed_controller_had_saved_runs_on_and_is_found_by_its_name(slurm: SlurmDaemons) -> None:
    slurm.run("sbatch", "--job-name=kept", *SLEEP)
    slurm.until(lambda: states(slurm) == {"kept": "RUNNING"})
    slurm.await_saved("kept")
    slurm.kill_controller()
    slurm.start_controller()
    assert states(slurm) == {"kept": "RUNNING"}


def test_an_accepted_submission_is_forgotten_and_its_id_is_given_again(slurm: SlurmDaemons) -> None:
    slurm.run("sbatch", "--job-name=kept", "--hold", *SLEEP)
    slurm.await_saved("kept")
    first = slurm.run("sbatch", "--parsable", "--job-name=lost", "--hold", *SLEEP)
    slurm.kill_controller()
    slurm.start_controller()
    assert states(slurm) == {"kept": "PENDING"}
    assert slurm.run("sbatch", "--parsable", "--job-name=other", "--hold", *SLEEP) == first


def test_nothing_is_left_of_daemons_and_their_jobs(tmp_path: Path) -> None:
    with running_slurm(tmp_path) as slurm:
        slurm.run("sbatch", "--job-name=left", *SLEEP)
        slurm.until(lambda: "sleep" in {process.name() for process in slurm.processes()})
    assert slurm.processes() == []
