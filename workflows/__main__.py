"""`python -m workflows plan|verify NAME …`: the scripts of all workflows behind one name."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from conductor.base.project import current_folder

    current_folder.off_path(__file__)

from conductor.app.workflow_lookup import about, available
from conductor.base.errors import ConductorError
from conductor.base.settings.settings import load
from conductor.base.text import printable
from workflows.protocol import complain, run_plan_script, run_verify_script


def main(argv: list[str]) -> int:
    try:
        if len(argv) >= 2 and argv[0] in ("plan", "verify"):
            run = run_plan_script if argv[0] == "plan" else run_verify_script
            return run(argv[1], argv[2:])
        print(usage())  # noqa: T201  a script's own output
    except ConductorError as e:
        return complain(e)
    return 0 if argv and argv[0] in ("-h", "--help") else 2


def usage() -> str:
    settings = load().for_code
    names = "\n".join(printable(f"  {name:<14} {about(name, settings)}") for name in available(settings))
    return f"usage: python -m workflows plan|verify NAME …   (NAME --help shows its options)\n\n{names}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
