"""The JSON schema of an annotation, as a file has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from conductor.base.errors import UsageError
from workers.llm.annotations import schema_check


def schema_of(file: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(file).read_bytes())
        if not isinstance(found, dict):
            raise ValueError("is no JSON object")
        schema = cast("dict[str, Any]", found)
        schema_check(schema)
    except (OSError, ValueError) as e:
        raise UsageError(f"--schema {file}: {e}") from None
    return schema
