"""Which servers let whoever may speak to them run code of their own, by version. Pure.

A ledger's server runs Lua for us, and so has its door open for scripts: a fault there matters more than
elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Server → its series → the first release of it without the hole. A series before the first one named has no
#: such release; what comes after the last one was never touched.
#: valkey: GHSA-fq2f-crmw-q97r (Lua, use after free). redis: CVE-2025-49844 (Lua's parser, use after free).
MENDED: Mapping[str, Mapping[tuple[int, int], int]] = {
    "valkey": {(8, 1): 9, (9, 0): 6, (9, 1): 2},
    "redis": {(7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2},
}
NAMES = {"valkey": "GHSA-fq2f-crmw-q97r", "redis": "CVE-2025-49844"}

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
#: What `valkey-server --version` and `redis-server --version` say.
_SAID = re.compile(r"(Valkey|Redis) server v=(\S+)")


def hole_in(server: str, version: str) -> str:
    """«valkey 9.0.3 has a known security hole (NAME): take …»; empty: none known, or the version is not."""
    found = _VERSION.match(version)
    if found is None or server not in MENDED:
        return ""
    *series, patch = map(int, found.groups())
    major, minor = series
    mended = MENDED[server]
    if (major, minor) > max(mended) or patch >= mended.get((major, minor), 1_000_000):
        return ""
    newest = max(mended)
    releases = ", ".join(f"{a}.{b}.{c}" for (a, b), c in mended.items() if (a, b) in ((major, minor), newest))
    return f"{server} {version} has a known security hole ({NAMES[server]}): take {releases} or newer"


def hole_in_facts(facts: Mapping[str, str]) -> str:
    """The same of what INFO says of a server."""
    if version := facts.get("valkey_version"):
        return hole_in("valkey", version)
    return hole_in("redis", facts.get("redis_version", ""))


def hole_in_words(said: str) -> str:
    """The same of what a server's program says of its version."""
    found = _SAID.search(said)
    return hole_in(found[1].lower(), found[2]) if found else ""
