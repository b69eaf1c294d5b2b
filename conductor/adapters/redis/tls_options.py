"""What an address says of TLS: wrong in itself, or found wrong by a server that refuses the handshake."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from redis import ConnectionPool, SSLConnection, exceptions

#: redis-py's names of the files, as they stand in an address.
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")

#: How a server refuses a client's certificate, or that there is none; and how it looks where that was said
#: while the client still wrote.
WANTS_CERTIFICATE = re.compile("ALERT_(BAD_|UNKNOWN_CA|CERTIFICATE)|EOF occurred in violation of protocol")


def check_options(pool: ConnectionPool) -> None:
    """Are its options known, and the files there that TLS needs. Connects to nobody. Raises `ValueError` in
    words."""
    options = pool.connection_kwargs
    try:
        pool.connection_class(**options)
    except TypeError as e:
        name = next(iter(re.findall(r"unexpected keyword argument '(\w+)'", str(e))), "")
        if not name:
            raise
        scheme = _scheme(pool)
        is_of_tls = name.startswith("ssl_") and not scheme.startswith("rediss")
        tls = scheme.replace("redis", "rediss", 1)
        why = (
            f"is for TLS: write {tls}:// instead of {scheme}://" if is_of_tls else "is no option of redis-py"
        )
        raise ValueError(f"{name} {why}") from None
    except exceptions.RedisError as e:
        raise ValueError(str(e)) from None
    for name in FILES:
        if (file := options.get(name)) and (fault := _fault_of(Path(file))):
            raise ValueError(f"{name} {file} cannot be read ({fault})")
    if certificate := options.get("ssl_certfile"):
        _check_pair(certificate, options.get("ssl_keyfile"), options.get("ssl_password"))


def _fault_of(file: Path) -> str:
    try:
        file.open("rb").close()
    except OSError as e:
        return e.strerror or str(e)
    return ""


def _check_pair(certificate: str, key: str | None, password: str | None) -> None:
    try:
        # An empty password: nobody is asked for one at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password or "")
    except ssl.SSLError as e:
        with_key = f"and ssl_keyfile {key} do" if key else "does"
        raise ValueError(
            f"ssl_certfile {certificate} {with_key} not hold a certificate and its key ({e.reason or e})"
        ) from None


def remedy(pool: ConnectionPool, text: str, form: str) -> str:
    """What to do about a handshake that came to nothing; empty: it is not about TLS. `text`: what was said of
    it; `form`: an address of that kind, without its scheme («HOST:6379/0»)."""
    scheme = _scheme(pool)
    if not scheme.startswith("rediss"):
        return ""
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return (
            "its certificate is not trusted here: name its authority's "
            f"({scheme}://{form}?ssl_ca_certs=/PATH.pem)"
        )
    if WANTS_CERTIFICATE.search(text):
        return (
            "it wants a certificate of its clients that its authority has signed: name that and its key "
            f"({scheme}://{form}?ssl_certfile=/PATH.crt&ssl_keyfile=/PATH.key)"
        )
    if "SSL" in text or text.startswith("Timeout connecting"):
        plain = scheme.replace("rediss", "redis", 1)
        return f"where TLS is not spoken write {plain}:// instead of {scheme}://"
    return ""


def _scheme(pool: ConnectionPool) -> str:
    kind = "+sentinel" if "finder" in pool.connection_kwargs else ""
    return f"{'rediss' if issubclass(pool.connection_class, SSLConnection) else 'redis'}{kind}"
