"""`python -m conductor.node …`, the old spelling of `conductor node …`."""

import os
import sys

os.execv(sys.executable, [sys.executable, "-m", "conductor", "node", *sys.argv[1:]])
