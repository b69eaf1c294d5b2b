"""A recorded workload as a manifest for `conductor simulate`: neutral JSONL, openb's CSV of pods, WfFormat
JSON.

Each job's duration is in its estimate, its arrival in args.arrival_s (`simulate --batch` ignores it). With
--nodes, openb's CSV of nodes becomes a CLUSTER.toml as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

# run as a plain file: the project's root is not on the path, nor perhaps its environment
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from workflows import standalone

    standalone.ensure_environment()

import argparse
import csv
from collections import Counter
from collections.abc import Iterable

from conductor.base.errors import ConfigError, UsageError
from conductor.base.files.layout import CodeSettings
from conductor.model.spec import JobSpec
from workflows.trace.forms import GPU_MIB, NAME, specs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the trace")
    parser.add_argument("--nodes", type=Path, metavar="CSV", help="openb's list of nodes")
    parser.add_argument(
        "--cluster", type=Path, metavar="FILE", help="with --nodes: where to write the CLUSTER.toml"
    )


def manifest_name(options: argparse.Namespace) -> str:
    return f"{NAME}_{options.file.stem}.jsonl"


def plan(options: argparse.Namespace, settings: CodeSettings) -> Iterable[JobSpec]:
    """One job a line, pod or task of the trace."""
    if (options.nodes is None) != (options.cluster is None):
        raise UsageError(
            "--nodes and --cluster go together: the list of nodes, and the CLUSTER.toml to write"
        )
    if options.nodes is not None:
        write_cluster(options.nodes, options.cluster)
    return specs(options.file)


def write_cluster(nodes: Path, target: Path) -> None:
    """openb's nodes as CLUSTER.toml, equal ones as one entry with a count."""
    try:
        with nodes.open(newline="", encoding="utf-8-sig") as file:
            kinds = Counter(
                (int(row["cpu_milli"]), int(row["memory_mib"]), int(row["gpu"]))
                for row in csv.DictReader(file)
            )
        target.write_text(
            "\n".join(entry(*kind, count) for kind, count in sorted(kinds.items())), encoding="utf-8"
        )
    except (KeyError, ValueError) as e:
        raise UsageError(f"{nodes} is not a list of openb nodes: {e}") from None
    except OSError as e:
        raise ConfigError(f"{e.filename}: {e.strerror}") from None


def entry(cpu_milli: int, ram_mib: int, gpus: int, count: int) -> str:
    devices = ", ".join([f"{{ vram_mib = {GPU_MIB} }}"] * gpus)
    return (
        f'[[node]]\nname = "c{cpu_milli}_m{ram_mib}_g{gpus}"\ncount = {count}\ncpu_milli = {cpu_milli}\n'
        f"ram_mib = {ram_mib}\ndevices = [{devices}]\n"
    )


if __name__ == "__main__":
    from workflows.protocol import run_plan_script

    sys.exit(run_plan_script(NAME))
