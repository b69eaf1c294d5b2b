"""`python -m conductor.dispatch …`, the old spelling of `conductor dispatch …`."""

import os
import sys

os.execv(sys.executable, [sys.executable, "-m", "conductor", "dispatch", *sys.argv[1:]])
