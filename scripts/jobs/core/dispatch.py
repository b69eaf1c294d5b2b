"""Old spellings: `python scripts/jobs/core/{plan,dispatch,conduct,verify}.py …` is `conductor NAME …`."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
own = ROOT / ".venv" / "bin" / "python"
python = str(own) if own.exists() else sys.executable
os.execv(python, [python, "-m", "conductor", Path(sys.argv[0]).stem, *sys.argv[1:]])
