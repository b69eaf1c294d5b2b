"""`conductor service`: a systemd unit that keeps `conductor up`, or a host's node, running."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conductor.app.cli.context import AsJson, answer, settings_here
from conductor.app.cli.frame import CommandGroup
from conductor.app.service_units import DRAIN_FOR_S

if TYPE_CHECKING:
    from conductor.app.service_files import ServicePlace
    from conductor.app.service_units import ServiceWish

OfUser = Annotated[bool, typer.Option("--user", help="One of your own, without root.")]
OfNode = Annotated[bool, typer.Option("--node", help="Of `conductor node`, on a further host.")]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Default: made of the project folder's name.")
]

service_app = typer.Typer(
    cls=CommandGroup,
    help="Keep Conductor running as a service of systemd.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    for command in (install, status, uninstall):
        service_app.command()(command)
    app.add_typer(service_app, name="service")


def install(
    user: OfUser = False,
    node: OfNode = False,
    name: Name = None,
    drain_for: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0.0, help="Told to stop, jobs in hand have so long; then they go back."
        ),
    ] = DRAIN_FOR_S,
    print_only: Annotated[bool, typer.Option("--print", help="Print the unit, write nothing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a unit that says something else.")
    ] = False,
) -> None:
    """Write the unit of `conductor up` (with --node: of `conductor node`), and a file for its secrets.

    A service of the system runs as the owner of the project's folder. Nothing is started: the next command is
    printed.

    Examples: conductor service install --print; conductor service install --user --drain-for 600
    """
    from conductor.adapters.host.systemctl import Systemctl
    from conductor.app import service_files
    from conductor.app.service_units import environment_text, unit_text

    settings = settings_here()
    wish, place = wished(settings.project, user, node, name, drain_for)
    text = unit_text(wish)
    if print_only:
        typer.echo(text, nl=False)
        return
    is_new = service_files.install(place, text, environment_text(settings.secrets.variables), force)
    manager = Systemctl(user)
    is_read = manager.reload()
    typer.echo(f"{'wrote' if is_new else 'unchanged:'} {place.unit}")
    typer.echo(f"secrets go into {place.environment}")
    first = "" if is_read else f"{manager.command('daemon-reload')} && "
    typer.echo(f"next: {first}{manager.command('enable', '--now', wish.name)}")
    if user:
        typer.echo("to run while nobody is logged in: loginctl enable-linger")


def status(user: OfUser = False, node: OfNode = False, name: Name = None, as_json: AsJson = False) -> None:
    """Is the service installed, and what does it do. Exit 1 where it does not run.

    Example: conductor service status --user
    """
    from conductor.adapters.host.systemctl import Systemctl
    from conductor.app import service_files

    wish, place = wished(settings_here().project, user, node, name)
    is_there = service_files.read(place.unit) is not None
    known = Systemctl(user).properties(f"{wish.name}.service")
    state = known.get("ActiveState", "unknown")
    if not is_there:
        words = " ".join(["conductor service install", *["--user"] * user, *["--node"] * node])
        sentence = f"{wish.name} is not installed ({place.unit} is not there): {words}"
    elif not known:
        sentence = f"{wish.name} is installed ({place.unit}); no systemd answers here"
    else:
        said = known.get("StatusText", "")
        times = known.get("NRestarts", "0")
        again = "" if times in ("", "0") else f", started again {times} times"
        sentence = f"{wish.name} is {state} ({known.get('SubState', '')}{again}){f': {said}' if said else ''}"
    value = {"name": wish.name, "unit": place.unit, "is_installed": is_there, "state": state, **known}
    answer(as_json, value, sentence)
    raise typer.Exit(0 if is_there and state == "active" else 1)


def uninstall(user: OfUser = False, node: OfNode = False, name: Name = None) -> None:
    """Remove the unit; the file with the secrets stays. One that runs is not removed.

    Example: conductor service uninstall --user
    """
    from conductor.adapters.host.systemctl import Systemctl
    from conductor.app import service_files
    from conductor.base.errors import ConfigError

    wish, place = wished(settings_here().project, user, node, name)
    manager, unit = Systemctl(user), f"{wish.name}.service"
    if manager.properties(unit).get("ActiveState", "") in (
        "active",
        "activating",
        "reloading",
        "deactivating",
    ):
        raise ConfigError(f"{wish.name} runs: stop it first, with `{manager.command('stop', wish.name)}`")
    manager.disable(unit)
    if not service_files.uninstall(place):
        typer.echo(f"{place.unit} is not there: nothing to remove")
        return
    manager.reload()
    typer.echo(f"removed {place.unit}; {place.environment} stays")


def wished(
    project: Path, user: bool, node: bool, name: str | None, drain_for_s: float = DRAIN_FOR_S
) -> tuple[ServiceWish, ServicePlace]:
    from conductor.app.service_files import owner_of, place_of
    from conductor.app.service_units import ServiceWish, service_name

    title = service_name(project, node, name)
    place = place_of(title, user)
    owner, group = ("", "") if user else owner_of(project)
    wish = ServiceWish(
        name=title,
        project=project,
        python=Path(sys.executable),
        environment_file=place.environment,
        words=("node",) if node else ("up",),
        owner=owner,
        group=group,
        drain_for_s=drain_for_s,
    )
    return wish, place
