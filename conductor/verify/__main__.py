"""`python -m conductor.verify …`, the old spelling of `conductor verify …`."""

import os
import sys

os.execv(sys.executable, [sys.executable, "-m", "conductor", "verify", *sys.argv[1:]])
