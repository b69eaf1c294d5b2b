"""The command line's frame: global options, the order of the commands, the place where an error becomes a
sentence.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from conductor.app.cli import (
    alerts,
    bulk,
    control,
    demo,
    execute,
    flow,
    jobs,
    logs,
    maintenance,
    mcp,
    models,
    needs,
    pausing,
    price,
    reading,
    recovery,
    redo,
    replay,
    report,
    review,
    run,
    schedule,
    security,
    service,
    services,
    sessions,
    simulate,
    smoke,
    tasks,
    web,
    workers,
)
from conductor.app.cli.frame import CommandGroup, narrowed
from conductor.base.errors import ConductorError, ManifestError

SHOWN_PROBLEMS = 20

app = typer.Typer(
    name="conductor",
    cls=CommandGroup,
    help="Feeds long video and ML jobs to workers only when there is room, and proves that every "
    "job was done.",
    rich_markup_mode=None,  # plain help: a third of the time to the first line
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Data goes to stdout, all else to stderr. Exit codes: 0 done, 1 found something, 2 usage, "
    "3 configuration or manifest, 4 a service cannot be reached, 130 interrupted.",
)


def print_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        typer.echo(version("conductor-jobs"))
        raise typer.Exit


@app.callback()
def options(
    project: Annotated[
        Path | None,
        typer.Option(
            help="Folder with conductor.toml. Default: $CONDUCTOR_PROJECT, else the nearest one above here."
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    if project is not None:
        if not project.is_dir():
            from conductor.base.text import printable

            raise typer.BadParameter(printable(f"{project} is not a folder"), param_hint="--project")
        # In the environment, so that workers and plan scripts started from here see the same project.
        os.environ["CONDUCTOR_PROJECT"] = str(project.resolve())


#: In the order in which `--help` lists them.
FAMILIES = (
    run,
    demo,
    flow,
    services,
    execute,
    service,
    web,
    mcp,
    reading,
    jobs,
    logs,
    report,
    pausing,
    control,
    bulk,
    review,
    redo,
    recovery,
    maintenance,
    schedule,
    sessions,
    alerts,
    simulate,
    smoke,
    replay,
    price,
    needs,
    tasks,
    models,
    workers,
    security,
)
for family in FAMILIES:
    family.register(app)


def main() -> None:
    """Run and exit: 0 done, 1 found something, 2 usage, 3 configuration, 4 unreachable, 130 interrupted."""
    from conductor.base.files.safe_open import write_for_ourselves

    write_for_ourselves()
    try:
        narrowed(app, sys.argv[1:])()
    except ConductorError as e:
        sys.exit(say(e))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as e:
        sys.exit(say_disk(e))
    except Exception as e:  # noqa: BLE001  the last boundary: the user gets a sentence, the log the trace
        sys.exit(say_unexpected(e))


def say(error: ConductorError) -> int:
    from conductor.base.secrets import scrub
    from conductor.base.text import printable

    complain(printable(scrub(str(error))))
    if isinstance(error, ManifestError):
        for problem in error.problems[:SHOWN_PROBLEMS]:
            typer.echo(f"  {printable(problem)}", err=True)
        if (more := len(error.problems) - SHOWN_PROBLEMS) > 0:
            typer.echo(f"  … and {more} more", err=True)
    return error.exit_code


def complain(sentence: str) -> None:
    typer.echo(f"conductor: {sentence}", err=True)


def say_disk(error: OSError) -> int:
    """A full disk is nobody's fault that a trace would show."""
    import errno

    from conductor.base.errors import Unreachable

    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return say_unexpected(error)
    where = f" ({error.filename})" if error.filename else ""
    return say(Unreachable(f"a disk is full{where}: make room; `conductor doctor` says what is free where"))


def say_unexpected(error: Exception) -> int:
    from conductor.app.cli import crash

    complain(crash.sentence(error))
    return 1
