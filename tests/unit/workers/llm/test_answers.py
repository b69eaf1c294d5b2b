"""Answers of models: what can be used is used, and what cannot is told by its cause."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.base.errors import BadInput, JobError
from workers.llm.answers import count_of, said_of, usable, usage_of, without_thoughts
from workers.llm.json_objects import json_objects

GOOD = '{"annotations": {"a": "fine"}}'


def answer(content: Any, finish: str = "stop", **message: Any) -> bytes:
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return json.dumps({"model": "m", "choices": [choice]}).encode()


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"Sure! Here it is:\n{GOOD}\nAnything else?",
        f'<think>Maybe {{"annotations": {{"a": ...}}}} would do? Yes.</think>\n```json\n{GOOD}\n```',
        f'<think>{{"annotations": {{"a": "no"}}}}</think>{GOOD}',
        f'I think {{"annotations": {{"a": "no"}}}}</think>{GOOD}',
        "<|channel|>analysis<|message|>hm "
        f"{{}}<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}<|return|>",
        [{"type": "text", "text": GOOD}],
        [
            {"type": "thinking", "text": "{}"},
            {"type": "text", "text": GOOD[:9]},
            {"type": "text", "text": GOOD[9:]},
        ],
    ],
)
def test_an_answer_is_used_however_it_is_wrapped(content: Any):
    said = said_of(answer(content))
    assert said is not None
    assert next(json_objects(usable(said, "cloud"))) == json.loads(GOOD)


def test_a_byte_order_mark_and_a_stream_that_nobody_asked_for():
    said = said_of(b"\xef\xbb\xbf" + answer(GOOD))
    assert said is not None and said.text == GOOD
    pieces = [{"choices": [{"delta": {"content": part}}], "model": "m"} for part in (GOOD[:5], GOOD[5:])]
    end = {
        "choices": [{"delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    }
    stream = "".join(f"data: {json.dumps(piece)}\n\n" for piece in (*pieces, end)) + "data: [DONE]\n\n"
    said = said_of(stream.encode())
    assert said is not None and (said.text, said.finish, said.usage.total) == (GOOD, "stop", 7)


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (answer(None), JobError, "cloud sent an empty answer$"),
        (answer("<think>hm"), JobError, "empty answer: it thought aloud"),
        (answer(None, reasoning_content="hm"), JobError, "empty answer: it thought aloud"),
        (
            answer("", "length", reasoning_content="hm"),
            JobError,
            "cut off at max_tokens, while it still thought aloud",
        ),
        (answer(GOOD[:9], "length"), JobError, "cut off at max_tokens: raise it"),
        (answer(None, "content_filter"), BadInput, r"filtered its answer \(content_filter\)"),
        (answer(None, refusal="I cannot help with that"), BadInput, "filtered its answer .*I cannot help"),
        (answer([{"type": "refusal", "refusal": "No."}]), BadInput, r"filtered its answer .*No\."),
        (b'{"choices": []}', JobError, "empty answer"),
    ],
)
def test_what_cannot_be_used_is_named(content: bytes, kind: type[JobError], words: str):
    said = said_of(content)
    assert said is not None
    with pytest.raises(kind, match=words) as caught:
        usable(said, "cloud")
    assert (caught.value.cause == "bad_input") == (kind is BadInput)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b"{}", b'{"choices": 3}', b"[" * 5000, b"data: {"]
)
def test_what_is_no_answer_of_a_model(content: bytes):
    assert said_of(content) is None


def test_counts_in_odd_forms_and_none_at_all():
    assert usage_of({"prompt_tokens": 7.0, "completion_tokens": "3"}).total == 10
    assert usage_of({"input_tokens": 7, "output_tokens": 3}).total == 10
    assert usage_of({"total_tokens": 10}).total == 10
    assert usage_of(None).total is None and usage_of([1]).total is None
    assert [count_of(odd) for odd in (True, "many", -1, float("nan"), float("inf"), 1e300, None)] == [
        None
    ] * 7


def test_half_a_letter_can_be_written_down():
    found = next(json_objects('{"annotations": {"a": "\\ud83d broken", "b": "\\ud83d\\ude00"}}'))
    assert found == {"annotations": {"a": "\ufffd broken", "b": "😀"}}
    said = said_of(b'{"choices": [{"message": {"content": "\\ud83d"}}]}')
    assert said is None or said.text.encode() is not None


def test_of_several_objects_the_last_comes_first():
    assert list(json_objects('{"a": 1} and {"b": {"c": 2}} {"broken": ')) == [{"b": {"c": 2}}, {"a": 1}]


@pytest.mark.parametrize("text", ["", "no", "} {", "{half", '["a"]'])
def test_where_there_is_no_object_none_is_found(text: str):
    assert list(json_objects(text)) == []


@given(st.text(max_size=200))
def test_whatever_a_model_says_it_is_no_crash(text: str):
    list(json_objects(text))
    without_thoughts(text)
    said_of(text.encode("utf-8", "replace"))
