"""What jobs are added up by. Apart, so that `--help` loads no library."""

from typing import Literal

GroupedBy = Literal["state", "cause", "task", "workflow", "backlog", "node", "file"]
