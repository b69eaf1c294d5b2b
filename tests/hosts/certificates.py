"""An authority of the test's own and a certificate for Redis's address, good for years on either side of
today: a host whose clock is days off must fail for its own reasons.
"""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

YEARS = timedelta(days=3650)


def make(folder: Path, address: str) -> tuple[Path, Path, Path]:
    """The authority's certificate, the server's, and the server's key."""
    folder.mkdir(parents=True, exist_ok=True)
    began, ends = ((datetime.now(UTC) + d).strftime("%Y%m%d%H%M%SZ") for d in (-YEARS, YEARS))
    authority, key = folder / "ca.crt", folder / "ca.key"
    of_server, server_key, request = folder / "redis.crt", folder / "redis.key", folder / "redis.csr"
    extensions = folder / "extensions"
    extensions.write_text(
        "[authority]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n"
        f"subjectKeyIdentifier=hash\n[server]\nsubjectAltName=IP:{address}\n"
    )
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl("req", *ec, "-keyout", key, "-out", folder / "ca.csr", "-subj", "/CN=hosts test")
    _openssl("req", *ec, "-keyout", server_key, "-out", request, "-subj", f"/CN={address}")
    _sign(folder / "ca.csr", authority, extensions, "authority", began, ends, "-selfsign", "-keyfile", key)
    _sign(request, of_server, extensions, "server", began, ends, "-cert", authority, "-keyfile", key)
    return authority, of_server, server_key


def _sign(
    request: Path, out: Path, extensions: Path, section: str, began: str, ends: str, *by: object
) -> None:
    """By `openssl ca`: `x509` cannot begin a certificate in the past before version 3.4."""
    folder = out.parent
    for name, text in (("index", ""), ("serial", f"{'01' if section == 'authority' else '02'}\n")):
        (folder / name).write_text(text)
    config = folder / "ca.cnf"
    config.write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index\nserial={folder}/serial\nnew_certs_dir={folder}\n"
        "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
    )
    _openssl("ca", "-batch", "-notext", "-config", config, "-in", request, "-out", out, "-startdate", began,
             "-enddate", ends, "-extfile", extensions, "-extensions", section, *by)  # fmt: skip


def _openssl(*words: object) -> None:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"openssl {words[0]}: {done.stderr}"
