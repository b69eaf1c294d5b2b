"""A server is known to be open by its version, and only by that."""

import pytest

from conductor.adapters.redis.known_holes import hole_in, hole_in_facts, hole_in_words


@pytest.mark.parametrize(
    ("server", "version", "take"),
    [
        ("valkey", "8.1.8", "8.1.9, 9.1.2"),
        ("valkey", "9.0.0", "9.0.6, 9.1.2"),
        ("valkey", "9.1.1", "9.1.2"),
        ("valkey", "7.2.13", "9.1.2"),
        ("redis", "7.0.15", "8.2.2"),
        ("redis", "7.4.5", "7.4.6, 8.2.2"),
    ],
)
def test_an_open_one_is_named_with_what_to_take(server: str, version: str, take: str) -> None:
    assert hole_in(server, version).endswith(f": take {take} or newer")


@pytest.mark.parametrize(
    ("server", "version"),
    [
        ("valkey", "8.1.9"),
        ("valkey", "9.1.2"),
        ("valkey", "9.2.0"),
        ("redis", "7.2.11"),
        ("redis", "8.4.0"),
        ("dragonfly", "1.0.0"),
        ("valkey", ""),
        ("redis", "unstable"),
    ],
)
def test_of_others_nothing_is_said(server: str, version: str) -> None:
    assert hole_in(server, version) == ""


def test_a_valkey_is_known_by_its_own_version_and_not_by_the_one_it_claims_for_old_clients() -> None:
    assert hole_in_facts({"redis_version": "7.2.4", "valkey_version": "9.1.2"}) == ""
    assert "valkey 9.1.0" in hole_in_facts({"redis_version": "7.2.4", "valkey_version": "9.1.0"})
    assert "CVE-2025-49844" in hole_in_facts({"redis_version": "7.0.15"})
    assert hole_in_facts({}) == ""


def test_a_program_says_its_version_in_its_own_way() -> None:
    assert "valkey 9.0.3" in hole_in_words("Valkey server v=9.0.3 sha=00000000:1 malloc=libc bits=64")
    assert "redis 7.0.15" in hole_in_words("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0")
    assert hole_in_words("") == ""
