"""docs/settings.md and docs/commands.md, from what the settings and the commands say of themselves.

`scripts/docs` writes both; a test holds them equal to what it would write.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from conductor.app.cli.app import app
from conductor.base.settings.settings import CONFIG_NAME, ENV_PREFIX, Settings

HOW = (
    "<!-- Written by `scripts/docs` from the comments of settings and the docstrings of commands: "
    "change those. -->"
)
#: End of a name → what its figure counts.
UNITS = {
    "_s": "seconds",
    "_mib": "MiB",
    "_bytes": "bytes",
    "_per_min": "in a minute",
    "_per_hour": "in an hour",
    "_per_day": "US dollars a day",
    "usd_per_million_input": "US dollars",
    "usd_per_million_output": "US dollars",
    "usd_per_second": "US dollars",
    "_c": "°C",
    "_minutes": "minutes",
}
PLAIN = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}


class SettingEntry(msgspec.Struct, frozen=True):
    """One key of conductor.toml."""

    section: str
    key: str
    default: str
    takes: str
    meaning: str

    @property
    def variable(self) -> str:
        return ENV_PREFIX + self.key.replace(".", "__").upper()


# ── settings ──────────────────────────────────────────────────────────────────────────────────────────────


def settings_page() -> str:
    parts = [
        "# Settings",
        HOW,
        f"A setting is read from a flag, else from the environment, else from `{CONFIG_NAME}`, "
        "else it is the\n"
        f"default. In the environment a double underscore descends: `{ENV_PREFIX}LANES__GPU__WORKERS=2`; "
        "a list or a\n"
        "table is written as JSON. Unknown keys are refused. NAME stands for a name of your own.\n"
        "`conductor config show --origin` says where each value in force comes from.",
    ]
    rows: dict[str, list[SettingEntry]] = {}
    for row in setting_rows():
        rows.setdefault(row.section, []).append(row)
    for section, those in rows.items():
        parts.append(f"## {section or 'The project'}")
        if about := sections().get(section):
            parts.append(about)
        head = "| key | default | takes | meaning | variable |\n|---|---|---|---|---|"
        lines = [
            f"| `{r.key}` | {r.default} | {cell(r.takes)} | {cell(r.meaning)} | `{r.variable}` |"
            for r in those
        ]
        parts.append("\n".join([head, *lines]))
    return "\n\n".join(parts) + "\n"


def setting_rows() -> Iterator[SettingEntry]:
    """All, in the order of the model, with their defaults: whatever the environment says."""
    yield from _rows(Settings, Settings.model_construct(), "", "")


def _rows(model: type[BaseModel], value: BaseModel | None, at: str, section: str) -> Iterator[SettingEntry]:
    words = comments(model)
    for name, field in model.model_fields.items():
        key, default = f"{at}{name}", None if value is None else getattr(value, name)
        if inner := _section_of(field.annotation):
            yield from _rows(inner, default, f"{key}.", f"`[{key}]`")
        elif named := _table_of(field.annotation):
            yield from _rows(named, None, f"{key}.NAME.", f"`[{key}.NAME]`")
        elif get_origin(field.annotation) is dict and key != "endpoints.NAME.parameters":
            yield SettingEntry(
                section, f"{key}.NAME", "none", takes(name, _value_of(field.annotation)), words.get(name, "")
            )
        else:
            shown = field.default if value is None else default
            yield SettingEntry(
                section, key, default_of(shown), takes(name, field.annotation, field), words.get(name, "")
            )
    if extra := inspect.get_annotations(model, eval_str=True).get("__pydantic_extra__"):
        yield from _rows(get_args(extra)[1], None, f"{at}NAME.", f"`[{at}NAME]`")


def sections() -> dict[str, str]:
    """Heading → what the section says of itself."""
    found: dict[str, str] = {}

    def look(model: type[BaseModel], at: str) -> None:
        for name, field in model.model_fields.items():
            for inner, suffix in (
                (_section_of(field.annotation), ""),
                (_table_of(field.annotation), ".NAME"),
            ):
                if inner is not None:
                    found[f"`[{at}{name}{suffix}]`"] = " ".join((inner.__doc__ or "").split()).replace(
                        "None: ", "Not set: "
                    )
                    look(inner, f"{at}{name}{suffix}.")

    look(Settings, "")
    return found


def comments(model: type[BaseModel]) -> dict[str, str]:
    """Field → the `#:` lines above it, here or in the class that it comes from."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if not issubclass(each, BaseModel) or (
            each.__module__ != Settings.__module__ and each.__module__ != model.__module__
        ):
            continue
        source = textwrap.dedent(inspect.getsource(each))
        lines = source.splitlines()
        for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                above: list[str] = []
                for line in reversed(lines[: node.lineno - 1]):
                    if not line.strip().startswith("#:"):
                        break
                    above.insert(0, line.strip().removeprefix("#:").strip())
                if above:
                    found[node.target.id] = in_words(above)
    return found


def in_words(lines: Sequence[str]) -> str:
    """As one line, for those who write TOML, which knows no None."""
    return " ".join(lines).replace("; None: ", ". None: ").replace("None: ", "Not set: ")


def takes(name: str, annotation: Any, field: FieldInfo | None = None) -> str:
    """«seconds, above 0», «`time` or `content`», «a list of text»."""
    inner, limits = _bare(annotation)
    limits = [*(field.metadata if field else []), *limits]
    if get_origin(inner) is Literal:
        return " or ".join(f"`{word}`" for word in get_args(inner))
    if get_origin(inner) in (Union, UnionType):
        return ", or ".join(takes(name, each) for each in get_args(inner))
    if get_origin(inner) is tuple:
        of = _bare(get_args(inner)[0])[0]
        return f"a list of {'paths' if of is Path else 'words'}"
    if get_origin(inner) is dict:
        return "a table"
    unit = (
        next((unit for end, unit in UNITS.items() if name.endswith(end)), None)
        if inner in (int, float)
        else None
    )
    return ", ".join([unit or PLAIN.get(inner, "text"), *_range(limits)])


def _range(limits: list[Any]) -> Iterator[str]:
    flat: list[Any] = []
    for each in limits:
        flat += getattr(each, "metadata", None) or [each]
    for word, attribute in (("above", "gt"), ("from", "ge"), ("to", "le")):
        for each in flat:
            if (edge := getattr(each, attribute, None)) is not None and edge != 1e9:
                yield f"{word} {edge:g}" if edge < 1e6 else f"{word} {edge}"


def default_of(value: Any) -> str:
    if value is PydanticUndefined:
        return "must be given"
    if value is None or value == "" or value == () or value == {}:
        return "not set"
    if isinstance(value, PurePath):
        return "the project's folder" if str(value) == "." else f"`{value}`"
    if isinstance(value, tuple):
        return ", ".join(map(default_of, value))  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, bool):
        return str(value).lower()
    return (
        f"{value:g}" if isinstance(value, float) else f"`{value}`" if isinstance(value, str) else str(value)
    )


def _bare(annotation: Any) -> tuple[Any, list[Any]]:
    """Without `Annotated` and without None; and what limits it."""
    limits: list[Any] = []
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            limits += more
        elif get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation):
            rest = [each for each in get_args(annotation) if each is not NoneType]
            annotation = rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007  made, not written
        else:
            return annotation, limits


def _section_of(annotation: Any) -> type[BaseModel] | None:
    bare = _bare(annotation)[0]
    return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None


def _value_of(annotation: Any) -> Any:
    return get_args(annotation)[1]


def _table_of(annotation: Any) -> type[BaseModel] | None:
    return _section_of(_value_of(annotation)) if get_origin(annotation) is dict else None


# ── commands ──────────────────────────────────────────────────────────────────────────────────────────────

CODES = (
    "Every command ends with 0 when it is done, 2 on a usage error, 3 when the configuration or a "
    "manifest is bad, 4\n"
    "when a service cannot be reached, and 130 when it is interrupted. 1 says that it ran and found "
    "something: what\n"
    "that is stands with each command that may end so. Data goes to stdout, all else to stderr."
)


def commands_page() -> str:
    parts = ["# Commands", HOW, CODES]
    for name, command in sorted(_commands()):
        parts.append(f"## conductor {name}")
        parts.append("\n\n".join(_paragraphs(command.help or "")))
        rows = [row for row in map(_parameter, command.params) if row]
        if rows:
            parts.append("\n".join(["| | default | meaning |", "|---|---|---|", *rows]))
        parts.append(f"Exit codes: {exit_codes(command.help or '')}.")
    return "\n\n".join(parts) + "\n"


def _commands() -> Iterator[tuple[str, Any]]:
    def below(group: Any, at: str) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if getattr(command, "commands", None):
                if command.invoke_without_command:
                    yield f"{at}{name}", command
                yield from below(command, f"{at}{name} ")
            elif not command.hidden:
                yield f"{at}{name}", command

    yield from below(typer.main.get_command(app), "")


def exit_codes(help_text: str) -> str:
    """«0 done; 1 where jobs are dead; 2, 3, 4 and 130 as above», by the command's own sentence that begins
    «Exit 1».
    """
    found = re.search(r"Exit 1,? ([^.]*)\.", " ".join(help_text.split()))
    return "0; 1 " + found[1] + "; the others as above" if found else "0; the others as above"


def _paragraphs(text: str) -> Iterator[str]:
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text).replace("\b\n", "").replace("\b", "")):
        plain: list[str] = []
        for line in block.splitlines():
            if match := re.match(r"\s*Examples?: (.*)", line):
                if plain:
                    yield "\n".join(plain)
                    plain = []
                yield "\n".join(f"    {example.strip()}" for example in match[1].split("; "))
            else:
                plain.append(line.strip())
        if any(plain):
            yield "\n".join(plain)


def _parameter(parameter: Any) -> str:
    if getattr(parameter, "hidden", False) or "--help" in parameter.opts:
        return ""
    if parameter.param_type_name == "argument":
        name = (parameter.metavar or parameter.name).strip("[]…").rstrip("]")
    else:
        opts = [*parameter.opts, *parameter.secondary_opts]
        word = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
        name = ", ".join(f"{opt}{word}" for opt in opts)
    default = parameter.default
    shown = "" if default is None or default in ("", ()) or isinstance(default, bool) else f"`{default}`"
    return f"| `{cell(name)}` | {shown} | {cell(getattr(parameter, 'help', None) or '')} |"


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


PAGES: Mapping[str, Callable[[], str]] = {"settings.md": settings_page, "commands.md": commands_page}


def main(argv: list[str]) -> int:
    """Writes the pages into the folder that is named, `docs` by default."""
    folder = Path(argv[0] if argv else "docs")
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
