"""Servers that want a certificate of their clients: every process comes to them by redis.url, or is told what
is wrong with that."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from conductor.adapters.open_ledger import connect, redis_of
from conductor.adapters.redis.client import address, translating
from conductor.base.errors import ConfigError, Unreachable
from conductor.base.settings.settings import Settings, load
from tests.client_certificates import servers_that_want_certificates
from workers.parent.rq_presence import own_client

Servers = tuple[str, Path]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Generator[Servers]:
    with servers_that_want_certificates(tmp_path_factory.mktemp("servers")) as found:
        yield found


def project(folder: Path, url: str) -> Settings:
    (folder / "conductor.toml").write_text(f'[redis]\nurl = "{url}"\n')
    return load(folder)


def with_certificate(servers: Servers) -> str:
    url, folder = servers
    files = f"ssl_ca_certs={folder}/ca.crt&ssl_certfile={folder}/redis.crt&ssl_keyfile={folder}/redis.key"
    return f"{url}?{files}"


def test_the_sentinel_and_the_primary_are_shown_one(servers: Servers, tmp_path: Path) -> None:
    with redis_of(project(tmp_path, with_certificate(servers)), is_lenient=True) as client:
        client.set("who", "a command, the leader, a node, the page")
        assert address(client).startswith("mymaster (127.0.0.2:")
        # A worker has some more, made like the first.
        assert own_client(client, 5.0).get("who") == client.get("who")


def test_without_one_it_is_said_what_they_want(servers: Servers) -> None:
    url, folder = servers
    with (
        connect(f"{url}?ssl_ca_certs={folder}/ca.crt") as client,
        pytest.raises(Unreachable, match=r"it wants a certificate of its clients .*ssl_certfile="),
        translating(client),
    ):
        client.ping()


@pytest.mark.parametrize(
    ("scheme", "query", "why"),
    [
        ("rediss+sentinel", "ssl_ca_certs=/no/such.pem", "ssl_ca_certs /no/such.pem cannot be read (No such"),
        (
            "rediss+sentinel",
            "ssl_certfile={0}/redis.crt&ssl_keyfile={0}/ca.key",
            "and ssl_keyfile {0}/ca.key do not hold a certificate and its key",
        ),
        (
            "redis+sentinel",
            "ssl_certfile={0}/redis.crt",
            "write rediss+sentinel:// instead of redis+sentinel://",
        ),
        ("rediss+sentinel", "ssl_cert={0}/redis.crt", "ssl_cert is no option of redis-py"),
        ("rediss+sentinel", "ssl_cert_reqs=perhaps", "Requirements Flag: perhaps"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused_before_anything_is_opened(
    servers: Servers, scheme: str, query: str, why: str
) -> None:
    folder = str(servers[1])
    url = f"{scheme}://127.0.0.2:1/mymaster/0?{query.format(folder)}"
    with pytest.raises(ConfigError) as refused, connect(url):
        pass
    assert why.format(folder) in str(refused.value)
