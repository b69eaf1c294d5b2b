"""Whatever letters a secret has, and however a program quotes it: it is masked."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import orjson
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from conductor.base import secrets
from conductor.base.text import escaped, printable

ODD = "\"'\\/%&+=:;?#@<>$`! \t\n\r\x01\x7f{}[]()~^|,.*-_äß€漢😀\u2028"
letters = st.one_of(st.sampled_from(ODD), st.characters(codec="utf-8"), st.sampled_from("abcXYZ0189"))
#: As keys are.
keys = st.text(letters, min_size=6, max_size=40).filter(lambda s: len(s.strip()) >= 6 and len(set(s)) > 3)

Quote = Callable[[str], str]

QUOTES: dict[str, Quote] = {
    "raw": lambda s: s,
    "repr": repr,
    "ascii": ascii,
    "bytes": lambda s: repr(s.encode()),
    "json": json.dumps,
    "json, letters kept": lambda s: json.dumps(s, ensure_ascii=False),
    "orjson": lambda s: orjson.dumps(s).decode(),
    "json with slashes": lambda s: json.dumps(s).replace("/", "\\/"),
    "json in json": lambda s: json.dumps(json.dumps({"key": s})),
    "repr of a repr": lambda s: repr(repr({"key": s})),
    "percent": lambda s: quote(s, safe=""),
    "percent, slashes kept": quote,
    "percent in small letters": lambda s: re.sub(r"%..", lambda m: m[0].lower(), quote(s, safe="")),
    "percent twice": lambda s: quote(quote(s, safe=""), safe=""),
    "plus": quote_plus,
    "query": lambda s: urlencode({"password": s, "key": s}),
    "json, then percent": lambda s: quote(json.dumps(s), safe=""),
    "shell": shlex.quote,
    "html": html.escape,
    "xml references": lambda s: s.encode("ascii", "xmlcharrefreplace").decode(),
    "backslashes": lambda s: s.encode("ascii", "backslashreplace").decode(),
    "unicode_escape": lambda s: s.encode("unicode_escape").decode(),
    "mojibake": lambda s: s.encode().decode("latin-1"),
    "one line": printable,
    "a log's line": lambda s: escaped(orjson.dumps(s).decode()),
    "surrogates": lambda s: s.encode().decode("ascii", "surrogateescape"),
}


def encoded(data: bytes) -> list[str]:
    return [base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode().rstrip("=")]


@given(keys, st.sampled_from(sorted(QUOTES)), st.text("xyz .", max_size=5))
@example('a"b\\c/d', "json in json", "")
@example("aaa'bbb", "shell", "")
@example('00012"', "json, then percent", "")
@example("longtail\\", "json", "")
def test_a_secret_is_masked_however_it_is_quoted(secret: str, how: str, around: str):
    assume(not (how == "surrogates" and not secret.isascii()))
    said = secrets.mask(f"{around}«{QUOTES[how](secret)}»{around}", [secret])

    assert secrets.MASK in said
    rest = re.sub(r"[^A-Za-z0-9]", "", said.replace(around, "") if around else said)
    longest = max(re.findall(r"[A-Za-z0-9]{3,}", secret), key=len, default="")
    assert not longest or longest not in rest.replace("password", "").replace("key", "")


@given(keys, st.binary(max_size=4), st.binary(max_size=4))
def test_a_secret_is_masked_in_base64_whatever_stands_around_it(secret: str, before: bytes, behind: bytes):
    for text in encoded(before + secret.encode() + behind):
        said = secrets.mask(f"Authorization: Basic {text}.", [secret])
        assert secrets.MASK in said
        left = said.removeprefix("Authorization: Basic ").removesuffix(".").split(secrets.MASK)
        # What is left holds nothing but what stood around it.
        assert sum(map(len, left)) * 6 // 8 <= len(before) + len(behind) + 2


@given(keys)
@example('00012"')
def test_what_is_left_of_a_json_text_is_one(secret: str):
    text = orjson.dumps({"before\\": secret, "behind": f"\\{secret}\\", "list": [secret, "x\n"]}).decode()
    assert secret not in json.dumps(json.loads(secrets.mask(text, [secret])), ensure_ascii=False)


@given(st.text(max_size=300), keys)
def test_what_holds_no_secret_is_left_alone(text: str, secret: str):
    assume(
        secret not in text
        and max(re.findall(r"[A-Za-z0-9]+", secret), key=len, default="") not in ("", *text)
    )
    anchor = max(re.findall(r"[A-Za-z0-9]+", secret), key=len)
    assume(anchor not in text)
    assert secrets.mask(text, [secret]) == text


@pytest.mark.parametrize("tail", ["\n", "\r\n", " ", "\t"])
def test_what_surrounds_a_key_hides_it_from_nobody(tail: str):
    from conductor.base.settings.endpoint_settings import Endpoint
    from conductor.base.settings.settings import Settings

    settings = Settings(endpoints={"a": Endpoint(base_url="http://h", api_key_env="MY_KEY")})
    found = secrets.values(settings.secrets, {"MY_KEY": f"hunter2-hunter2{tail}second-line"})
    assert {"hunter2-hunter2", "second-line"} <= found or "hunter2-hunter2" + tail + "second-line" in found
    assert (
        secrets.mask(
            "sent hunter2-hunter2", secrets.values(settings.secrets, {"MY_KEY": f"hunter2-hunter2{tail}"})
        )
        == "sent ***"
    )
