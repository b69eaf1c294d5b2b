"""The command line's group: a command is built, and typer's checks are loaded, only where they are wanted."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command_name

#: The options before the command that have a value.
VALUED = ("--project",)


class CommandGroup(TyperGroup):
    """typer imports pydantic to find out that an option's `None` is None and that a word is a word: a third
    of the time of most commands.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        take_plainly(self, ctx)
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            take_plainly(command, ctx)
        return command


class PlainFirst:
    """Stands before typer's own check of one parameter, which is built where a value needs it."""

    def __init__(self, checked: Callable[[], Any]) -> None:
        self._checked = checked

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        annotation = param.type_descriptor.annotation
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if annotation is str:
            return text(value, param)
        if annotation == list[str]:
            return [text(word, param) for word in value]
        if type(value) is annotation:
            return value  # a default: what was given is words
        if annotation is Path and is_readable(Path(value), param):
            return Path(value)
        return self._checked().coerce(value, param=param, ctx=ctx)


def take_plainly(command: Any, ctx: Any) -> None:
    """Called where all parameters are known: typer adds those of completion and of help by and by."""
    for param in command.get_params(ctx):
        if hasattr(param, "get_runtime_param") and "get_runtime_param" not in vars(param):
            plain = PlainFirst(param.get_runtime_param)
            param.get_runtime_param = lambda plain=plain: plain


def text(word: str, param: Any) -> str:
    """Bytes that are no UTF-8 reach a program as halves of letters, which neither Redis nor JSON takes."""
    if word.isascii():
        return word
    try:
        word.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("has bytes that are no text in UTF-8", param=param) from None
    return word


def is_readable(path: Path, param: Any) -> bool:
    """What typer asks of a path for which nothing is asked."""
    asked = param.type_descriptor.parameter_info
    if asked.exists or asked.resolve_path or asked.writable or not (asked.file_okay and asked.dir_okay):
        return False
    return os.access(path, os.R_OK) or not path.exists()


def narrowed(app: typer.Typer, words: Sequence[str]) -> typer.Typer:
    """`app` with the one command that the command line names: to build the sixty others takes as long as
    many a command. As it is where none is named: help, completion and «did you mean» want them all."""
    name = named(words)
    commands = [info for info in app.registered_commands if name == called(info)]
    groups = [info for info in app.registered_groups if name == info.name]
    if not commands and not groups:
        return app
    one = copy.copy(app)
    one.registered_commands, one.registered_groups = commands, groups
    return one


def called(info: Any) -> str:
    return info.name or get_command_name(info.callback.__name__)


def named(words: Sequence[str]) -> str | None:
    """The first word that is neither an option nor the value of one."""
    rest = iter(words)
    for word in rest:
        if word in VALUED:
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return None
