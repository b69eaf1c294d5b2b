"""`conductor alerts`: what is raised, whether anybody would hear of it, and the operator's word on it."""

from __future__ import annotations

from typing import Annotated

import typer

from conductor.app.cli.context import AsJson, answer, emit, ledger_here, ledger_to_read, settings_here, show
from conductor.app.cli.frame import CommandGroup

alerts_app = typer.Typer(
    cls=CommandGroup,
    help="What is wrong, since when, and which runbook says what to do. Without a word behind it: what is "
    "raised now.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


def register(app: typer.Typer) -> None:
    alerts_app.callback()(list_raised)
    for command in (test, silence):
        alerts_app.command()(command)
    app.add_typer(alerts_app, name="alerts")


def list_raised(context: typer.Context, as_json: AsJson = False) -> None:
    """What is raised now: since when, what it says, its runbook. Exit 1 where something is.

    Example: conductor alerts --json
    """
    if context.invoked_subcommand is not None:
        return
    from conductor.views.alerts import alert_lines, alerts_now

    with ledger_to_read() as (_, ledger):
        found = alerts_now(ledger)
    if as_json:
        emit(found)
    else:
        show(alert_lines(found))
    if found.alerts:
        raise typer.Exit(1)


def test(as_json: AsJson = False) -> None:
    """Send a message through each channel, and say which arrived. Exit 1 where one did not, or there is none.

    It is sent from here, with the environment of this shell: what the node has is its own.

    Example: conductor alerts test
    """
    from conductor.model.alerts import AlertMessage
    from conductor.node.alerts.channels import channels_of

    settings = settings_here()
    project = settings.project.name
    words = "This is a test of Conductor's alerts. Nothing is wrong."
    message = AlertMessage(title=f"{project}: a test", body=words, project=project)
    channels = channels_of(settings.alerts, settings.project, settings.secrets.variables)
    faults = {channel.name: channel.send(message) for channel in channels}
    if as_json:
        emit([{"channel": name, "has_arrived": not fault, "fault": fault} for name, fault in faults.items()])
    else:
        show(
            f"{name}: {f'did not arrive: {fault}' if fault else 'arrived'}" for name, fault in faults.items()
        )
        if not faults:
            show(["there is no channel: [alerts] channels_env or command in conductor.toml names one"])
    if not faults or any(faults.values()):
        raise typer.Exit(1)


def silence(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="As `conductor alerts` names it.")],
    for_: Annotated[
        str, typer.Option("--for", metavar="TIME", help="30m, 2h, 1d; 0 takes a silence back.")
    ] = "2h",
    as_json: AsJson = False,
) -> None:
    """Tell nobody of a rule for a while. It is judged all the same, and said afterwards if it is still so.

    Examples: conductor alerts silence scratch-low --for 2h; conductor alerts silence scratch-low --for 0
    """
    from conductor.base.hours import about
    from conductor.base.operator_name import operator_name
    from conductor.recovery.notice_commands import silence_rule

    seconds = seconds_of(for_)
    with ledger_here() as (settings, ledger):
        done = silence_rule(ledger, settings.receipts_dir, rule, seconds, operator_name())
        now = ledger.bell.now()
    when = "" if done.until is None else about(now)(done.until).removeprefix("about ")
    words = f"{rule}: nobody is told until {when}" if when else f"{rule}: people are told again"
    answer(as_json, done, words)


def seconds_of(text: str) -> float:
    """«90s», «30m», «2h», «1d», «0». Raises `UsageError`."""
    import re

    from conductor.base.errors import UsageError

    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)\s*([smhd])|0", text.strip(), re.ASCII)
    if found is None:
        raise UsageError(f"{text!r} is no time: write 90s, 30m, 2h or 1d")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]] if found[1] else 0.0
