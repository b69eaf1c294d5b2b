"""The command line's group: an option that was not given is not looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from typer.core import TyperGroup, TyperOption


class CommandGroup(TyperGroup):
    """typer imports pydantic to find out that an option's `None` is None: half the time of help and of
    completion.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        spare(self, ctx)
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            spare(command, ctx)
        return command


def spare(command: Any, ctx: Any) -> None:
    """Called where all options are known: typer adds those of completion and of help by and by."""
    for option in command.get_params(ctx):
        if (
            isinstance(option, TyperOption)
            and option.nargs == 1
            and not option.multiple
            and not option.required
        ):
            option.process_value = unless_absent(option)


def unless_absent(option: TyperOption) -> Any:
    """What `option.process_value` does, which for None is nothing but to ask its callback."""
    process: Callable[[Any, Any], Any] = option.process_value
    callback: Callable[[Any, Any, Any], Any] | None = option.callback

    def processed(ctx: Any, value: Any) -> Any:
        if value is not None:
            return process(ctx, value)
        return None if callback is None else callback(ctx, option, None)

    return processed
