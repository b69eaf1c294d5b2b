"""What a plan may not write though it is a manifest by its form: jobs that this project could not run
anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from conductor.base.files.layout import CodeSettings
from conductor.base.settings.unknown_keys import did_you_mean
from conductor.model.spec import JobSpec
from conductor.record.manifest import LineRule

#: The task whose line names a program.
SHELL = "shell"


def rules_of(settings: CodeSettings) -> tuple[LineRule, ...]:
    """By the roots and the programs that conductor.toml declares."""

    def roots(spec: JobSpec) -> Iterator[str]:
        named = [(f"reads[{n}]", path) for n, path in enumerate(spec.reads) if not path.startswith("/")]
        named += [(f"writes[{n}].path", output.path) for n, output in enumerate(spec.writes)]
        for where, path in named:
            root = path.partition(":")[0]
            if root not in settings.roots:
                known = ", ".join(sorted(settings.roots))
                near = did_you_mean(root, settings.roots) or "."
                yield f"{where}: no root is named {root!r}{near} conductor.toml declares: {known}"

    def programs(spec: JobSpec) -> Iterator[str]:
        argv = spec.args.get("argv") if spec.task == SHELL else None
        program: object = cast("list[object]", argv)[0] if isinstance(argv, list) and argv else None
        if isinstance(program, str) and program not in settings.shell_programs:
            listed = ", ".join(settings.shell_programs) or "nothing yet"
            yield (
                f"args.argv: {program!r} is not among shell_programs of conductor.toml ({listed}): "
                "add it there"
            )

    return roots, programs
