"""`python -m conductor.planning …`, the old spelling of `conductor plan …`."""

import os
import sys

os.execv(sys.executable, [sys.executable, "-m", "conductor", "plan", *sys.argv[1:]])
