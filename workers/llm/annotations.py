"""What a model said of each item, held against the form that was asked for and the schema: what may be kept,
and what was wrong with the rest. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from conductor.base.text import printable
from workers.llm.json_objects import json_objects

#: What is wrong with an annotation; empty: nothing.
Check = Callable[[Any], str]
_MOST_WORDS = 300
_SHOWN = 20


class JudgedAnswer(NamedTuple):
    """Of one answer."""

    good: dict[str, Any]
    #: Id → what was wrong, in the order that was asked for.
    faults: dict[str, str]
    #: In one sentence, without whose answer it was; empty: nothing was wrong.
    words: str


def heard(text: str, wanted: Sequence[str], check: Check) -> JudgedAnswer:
    # The last one that is of the form: before it stands what the model tried, or quoted.
    forms = (annotations_of(found, wanted) for found in json_objects(text))
    found = next((form for form in forms if form is not None), None)
    if found is None:
        words = f"did not answer in the form asked for: {text[:200]!r}"
        return JudgedAnswer({}, dict.fromkeys(wanted, "your answer was not of the form asked for"), words)
    good, faults = dict[str, Any](), dict[str, str]()
    for identity in wanted:
        fault = check(found[identity]) if identity in found else "you left it out"
        if fault:
            faults[identity] = fault
        else:
            good[identity] = found[identity]
    return JudgedAnswer(good, faults, _words(found, wanted, faults))


def _words(found: Mapping[str, Any], wanted: Sequence[str], faults: Mapping[str, str]) -> str:
    lacking = [identity for identity in wanted if identity not in found]
    if lacking:
        return f"left out {len(lacking)} of {len(wanted)} items, the first is {lacking[0]!r}"
    if faults:
        first = next(iter(faults))
        many = f"answered {len(faults)} of {len(wanted)} items otherwise than its schema asks"
        return f"{many}, the first is {first!r}: {faults[first]}"
    return ""


def complaint(faults: Mapping[str, str]) -> str:
    """For the model: what was wrong with its last answer."""
    lines = [f"- {identity}: {words}" for identity, words in list(faults.items())[:_SHOWN]]
    return "\n".join(
        ["Your last answer could not be used. Answer again for these items, in the form asked for:", *lines]
    )


def annotations_of(found: dict[str, Any], wanted: Sequence[str]) -> dict[str, Any] | None:
    """Id → annotation, in the form asked for or in one that says the same: a list of {"id", "annotation"}, or
    the ids without «annotations» around them. None: it is none of these."""
    inside = found.get("annotations")
    if isinstance(inside, dict):
        return cast("dict[str, Any]", inside)
    if isinstance(inside, list):
        rows = [cast("dict[str, Any]", row) for row in cast("list[object]", inside) if isinstance(row, dict)]
        return {
            str(row["id"]): row["annotation"] for row in rows if "id" in row and "annotation" in row
        } or None
    return found if all(identity in found for identity in wanted) else None


def schema_check(schema: Mapping[str, Any] | None) -> Check:
    """Holds each annotation against a JSON schema; nothing is fetched for it. Raises `ValueError` where the
    schema itself is none.
    """
    if schema is None:
        return lambda annotation: ""
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(dict(schema))
    except SchemaError as e:
        raise ValueError(f"is no JSON schema: {printable(e.message)[:_MOST_WORDS]}") from None
    validator = kind(schema, registry=Registry())

    def check(annotation: Any) -> str:
        try:
            error = best_match(validator.iter_errors(annotation))
        except Unresolvable as e:
            return f"the schema names what is not in it: {printable(str(e))[:_MOST_WORDS]}"
        except RecursionError:
            return "it is nested too deeply"
        if error is None:
            return ""
        where = "".join(f"[{part!r}]" for part in error.absolute_path)
        return printable(f"{where} {error.message}".strip())[:_MOST_WORDS]

    return check
