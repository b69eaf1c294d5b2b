"""Who may do what, by route: each route names one of the rights below as its dependency, and a test holds
that none goes without. Nothing here reads the path of a request: a proxy, a Host header or `//` may bend it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

from conductor.base.errors import ConfigError
from conductor.base.settings.web_settings import Web
from conductor.base.text import printable

COOKIE = "conductor_session"
#: A browser stays logged in for so long.
SESSION_S = 7 * 86_400
#: A link by which one logs in is good for so long, and once.
LINK_S = 300.0
MOST_LINKS = 16
#: Header with the name of who acts.
ACTOR = "x-conductor-actor"
MOST_NAME = 40
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/?#\[\]@\\]+))(?::\d{1,5})?")
SAFE_METHODS = frozenset({"GET", "HEAD"})
OWN_SITES = frozenset({"same-origin", "none"})


@dataclass
class Door:
    """What the settings say of who may come in."""

    #: Empty: nobody acts, except over the project's own socket.
    token: str = ""
    #: It listens where other hosts cannot reach it.
    is_loopback: bool = True
    #: What a browser may call it.
    hosts: frozenset[str] = frozenset({"localhost", "127.0.0.1", "::1"})
    #: Code of a link → until when (monotonic seconds) it is good, and who asked for it.
    links: dict[str, tuple[float, str]] = field(default_factory=dict[str, tuple[float, str]])


def door_of(web: Web, environ: Mapping[str, str]) -> Door:
    """Raises `ConfigError` where the variable that is named is empty, or anybody could come in."""
    token = ""
    if web.token_env is not None and not (token := environ.get(web.token_env, "").strip()):
        raise ConfigError(
            f"web.token_env names ${web.token_env}, which is empty: set it, or take the setting out"
        )
    address = ip_address(web.bind)
    if not address.is_loopback and not token:
        raise ConfigError(
            f"web.bind = {web.bind} lets other hosts in, and there is no token: set web.token_env, "
            "or bind 127.0.0.1"
        )
    own = {"localhost", "127.0.0.1", "::1", *web.allowed_hosts}
    if not address.is_unspecified:
        own.add(web.bind)
    return Door(token=token, is_loopback=address.is_loopback, hosts=frozenset(map(str.lower, own)))


@dataclass(frozen=True)
class Visitor:
    """Who asks. `said`: his name without the place that he asks from."""

    name: str
    may_act: bool
    is_known: bool
    said: str = ""


def host_of(text: str) -> str:
    """«[::1]:9280», «localhost:9280» → the name alone; empty where that is no host and port: what stands
    behind a name may be meant to become the path of an address («localhost:1/livez?»)."""
    found = _HOST.fullmatch(text)
    return (found[1] or found[2]).lower().rstrip(".") if found else ""


def visitor(request: Request) -> Visitor:
    door: Door = request.app.state.door
    if request.scope["state"].get("is_own_socket"):
        said = _said_name(request)
        return Visitor(f"{said} (socket)", may_act=True, is_known=True, said=said)
    who = request.client.host if request.client else "?"
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if door.token and scheme.lower() == "bearer":
        if hmac.compare_digest(given.strip().encode(), door.token.encode()):
            said = _said_name(request)
            return Visitor(f"{said} ({who})", may_act=True, is_known=True, said=said)
        raise HTTPException(401, "that is not the token")
    name = session_name(door, request.cookies.get(COOKIE, ""), time.time())
    if name is not None:
        return Visitor(f"{name} ({who})", may_act=True, is_known=True, said=name)
    return Visitor(who, may_act=False, is_known=False)


def _said_name(request: Request) -> str:
    return clean_name(request.headers.get(ACTOR, "")) or "somebody"


def clean_name(name: str) -> str:
    return printable(name.strip())[:MOST_NAME]


# ── the rights ────────────────────────────────────────────────────────────────────────────────────────────


def anybody() -> None:
    """Whether it lives, the page without its figures, the way in."""


def signed() -> None:
    """Who knows the secret of the hook: its route holds the delivery against its signature."""


def looks(request: Request) -> Visitor:
    """Reads: on loopback whoever is on this host, else who has the token. No page of another site may."""
    if request.headers.get("sec-fetch-site", "none") not in OWN_SITES:
        raise HTTPException(403, "a page of another site asks: open this one itself")
    found = visitor(request)
    if not request.app.state.door.is_loopback and not found.is_known:
        raise HTTPException(401, "this needs the token (`Authorization: Bearer …`)")
    return found


def acts(request: Request) -> Visitor:
    """Changes something: only who has the token, from this page or from a program."""
    refuse_foreign_page(request)
    found = visitor(request)
    if found.may_act:
        return found
    if not request.app.state.door.token:
        raise HTTPException(403, "this is for looking only until web.token_env is set in conductor.toml")
    raise HTTPException(401, "this needs the token (`Authorization: Bearer …`, or `conductor web --link`)")


def refuse_foreign_page(request: Request) -> None:
    """A browser says from where it asks, and its own page is the only one that may change anything."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if site is not None and site not in OWN_SITES:
        raise HTTPException(403, "a page of another site asks")
    if origin is not None and not is_own_origin(origin, request.headers.get("host", "")):
        raise HTTPException(403, "a page of another address asks")
    if (
        origin is None
        and site is None
        and "authorization" not in request.headers
        and COOKIE in request.cookies
    ):
        raise HTTPException(403, "a browser's session without the browser's word from where it asks")


def is_own_origin(origin: str, host: str) -> bool:
    """`host` is one that was let in."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


# ── logging in ────────────────────────────────────────────────────────────────────────────────────────────


def session_of(door: Door, name: str, now: float) -> str:
    """What the cookie holds: no state is kept, and another token ends all sessions."""
    said = f"{round(now + SESSION_S)}.{clean_name(name).encode().hex()}"
    return f"{said}.{_seal(door, said)}"


def session_name(door: Door, cookie: str, now: float) -> str | None:
    """Of whom it is; None where it is none, or not any more."""
    said, _, seal = cookie.rpartition(".")
    if not door.token or not said or not hmac.compare_digest(seal.encode(), _seal(door, said).encode()):
        return None
    until, _, name = said.partition(".")
    return bytes.fromhex(name).decode() if int(until) > now else None


def _seal(door: Door, said: str) -> str:
    return hmac.new(door.token.encode(), b"conductor session " + said.encode(), hashlib.sha256).hexdigest()


def new_link(door: Door, code: str, name: str, now: float) -> None:
    """`name`: of who asks for it, and logs in with it unless he says another."""
    for old in [known for known, (until, _) in door.links.items() if until < now]:
        del door.links[old]
    while len(door.links) >= MOST_LINKS:
        del door.links[next(iter(door.links))]
    door.links[code] = now + LINK_S, name


def name_let_in(door: Door, given: str, now: float) -> str | None:
    """By the token itself, or by the code of a link, which is used up: whose that is, empty where nobody
    knows. None: neither."""
    if not door.token:
        return None
    if hmac.compare_digest(given.encode(), door.token.encode()):
        return ""
    until, name = door.links.pop(given, (0.0, ""))
    return name if until > now else None
