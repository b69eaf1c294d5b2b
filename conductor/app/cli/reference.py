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
from typing import Any

import msgspec
import typer

from conductor.app.cli.app import app
from conductor.base.settings.base_section import Section
from conductor.base.settings.kinds import item_of, section_of, takes
from conductor.base.settings.settings import CONFIG_NAME, ENV_PREFIX, Settings

HOW = (
    "<!-- Written by `scripts/docs` from the comments of settings and the docstrings of commands: "
    "change those. -->"
)


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
    yield from _rows(Settings, "", "")


def _rows(model: type[Section], at: str, section: str) -> Iterator[SettingEntry]:
    words = comments(model)
    for field in msgspec.structs.fields(model):
        name = field.name
        key = f"{at}{name}"
        if name == model.beside:
            continue
        if inner := section_of(field.type):
            yield from _rows(inner, f"{key}.", f"`[{key}]`")
        elif (item := item_of(field.type)) is None or item is Any:
            shown = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            yield SettingEntry(section, key, default_of(shown), takes(name, field.type), words.get(name, ""))
        elif named := section_of(item):
            yield from _rows(named, f"{key}.NAME.", f"`[{key}.NAME]`")
        else:
            yield SettingEntry(section, f"{key}.NAME", "none", takes(name, item), words.get(name, ""))
    if named := _beside(model):
        yield from _rows(named, f"{at}NAME.", f"`[{at}NAME]`")


def _beside(model: type[Section]) -> type[Section] | None:
    kinds = {field.name: field.type for field in msgspec.structs.fields(model)}
    return section_of(item_of(kinds[model.beside])) if model.beside else None


def sections() -> dict[str, str]:
    """Heading → what the section says of itself."""
    found: dict[str, str] = {}

    def look(model: type[Section], at: str) -> None:
        for field in msgspec.structs.fields(model):
            for inner, suffix in ((section_of(field.type), ""), (section_of(item_of(field.type)), ".NAME")):
                if inner is not None and field.name != model.beside:
                    found[f"`[{at}{field.name}{suffix}]`"] = " ".join((inner.__doc__ or "").split()).replace(
                        "None: ", "Not set: "
                    )
                    look(inner, f"{at}{field.name}{suffix}.")

    look(Settings, "")
    return found


def comments(model: type[Section]) -> dict[str, str]:
    """Field → the `#:` lines above it, here or in the class that it comes from."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if not issubclass(each, Section) or (
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


def default_of(value: Any) -> str:
    if value is msgspec.NODEFAULT:
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
