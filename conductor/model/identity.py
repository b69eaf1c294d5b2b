"""What a job's id is: a hash over all that says what the job does, worked out by a plan and again from its
line.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from msgspec import structs

from conductor.model.spec import JobSpec, Output

#: Where a write says `{id}`, its job's id is put in; `{short}` is its beginning, for names that people read.
ID, SHORT = "{id}", "{short}"
SHORT_LENGTH = 8
#: Letters and digits of an id: 120 bits of SHA-256 in base 32.
LENGTH = 24


def content_id(
    workflow: str,
    task: str,
    args: Mapping[str, Any],
    inputs: Mapping[str, str],
    reads: Sequence[str] = (),
    writes: Sequence[str] = (),
    updates: Sequence[str] = (),
    tag: str = "",
) -> str:
    """The job's identity over what it does: to which files, in which order, and where the results go.

    `inputs` maps each file that no job makes to its fingerprint (`conductor.base.files.fingerprint`). Another
    job's output needs none: its path holds that job's id. `writes` are paths as the plan gave them, with
    `{id}` and `{short}` in them. `updates` and `tag`, which few jobs have, count where there are any.
    """
    what = [workflow, task, args, inputs, reads, writes, *([updates] if updates or tag else [])]
    what += [tag] if tag else []
    canonical = orjson.dumps(what, option=orjson.OPT_SORT_KEYS)
    return base64.b32encode(hashlib.sha256(canonical).digest())[:LENGTH].decode().lower()


def identified(draft: JobSpec) -> JobSpec:
    """The job under its id. The draft's id is void; its writes say `{id}` and `{short}` where the id is to
    stand.
    """
    paths = [output.path for output in draft.writes]
    job_id = content_id(
        draft.workflow, draft.task, draft.args, draft.inputs, draft.reads, paths, draft.updates, draft.tag
    )
    writes = tuple(Output(path=with_id(output.path, job_id), bytes=output.bytes) for output in draft.writes)
    return structs.replace(draft, id=job_id, writes=writes)


def id_of(spec: JobSpec) -> str:
    """The id that the content of a line gives, which is its own where nobody edited it.

    Exact, since two lines under one id would need the same templates: a path that still says `{id}` is no
    path of a line (`is_template`), so a template has one filling and a filled path one template. Raises
    `TypeError` / `ValueError` where the arguments cannot be hashed.
    """
    paths = [template_of(output.path, spec.id) for output in spec.writes]
    return content_id(
        spec.workflow, spec.task, spec.args, spec.inputs, spec.reads, paths, spec.updates, spec.tag
    )


def with_id(template: str, job_id: str) -> str:
    """The path for this job."""
    return template.replace(ID, job_id).replace(SHORT, job_id[:SHORT_LENGTH])


def template_of(path: str, job_id: str) -> str:
    """The other way round: what the plan said."""
    return path.replace(job_id, ID).replace(job_id[:SHORT_LENGTH], SHORT)


def line_hash(line: bytes) -> str:
    """Which line of those that give one id: they differ in needs, priority, timeout, waits or `expect`, none
    of which makes another product."""
    return hashlib.sha256(line).hexdigest()[:16]


def is_template(path: str) -> bool:
    """Whether an id has still to be put in."""
    return ID in path or SHORT in path
