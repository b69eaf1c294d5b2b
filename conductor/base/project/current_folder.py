"""`python -m …` puts the current folder first on `sys.path`: a `typer.py` there would run. Standard
library only.
"""

from __future__ import annotations

import sys
from pathlib import Path


def off_path(package: str) -> None:
    """Take it off, unless `package` (its `__file__`) was found there. Called before anything else is
    imported.
    """
    if sys.flags.safe_path or not sys.path:
        return
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return  # nothing can lie in a folder that is gone
    if sys.path[0] in ("", str(here)) and here.resolve() != Path(package).resolve().parents[1]:
        del sys.path[0]
