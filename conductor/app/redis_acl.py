"""The Redis users: what each part of Conductor may do, and the text of an ACL file that says so.

`conductor` dispatches, leads, reads and steers; `worker` is a node and its workers: it cannot write a
manifest line, take the lead or pause a lane; `reader` only looks (rq-dashboard). Nobody but `admin` may
flush, configure or debug.

Where several projects share a database (`redis.prefix`), each has a conductor, a worker and a reader of its
own, which reach no other project's keys.
"""

from __future__ import annotations

import hashlib
import secrets

from conductor.base.redis_keys import PLAIN, Keys
from conductor.model.spec import Value

CONDUCTOR, WORKER, READER, ADMIN = "conductor", "worker", "reader", "admin"

#: To come in, be told who one is, and be let go.
_CONNECTION = (
    "auth",
    "hello",
    "ping",
    "select",
    "echo",
    "quit",
    "reset",
    "client|id",
    "client|setname",
    "client|info",
)
_READS = (
    *("get", "mget", "exists", "type", "ttl", "pttl", "strlen"),
    *("hget", "hmget", "hgetall", "hkeys", "hvals", "hlen", "hexists", "hstrlen", "hscan"),
    *("smembers", "sismember", "smismember", "scard", "sscan", "sunion"),
    *(
        "zrange",
        "zrangebyscore",
        "zrevrange",
        "zrevrangebyscore",
        "zcard",
        "zcount",
        "zscore",
        "zrank",
        "zscan",
    ),
    *("llen", "lrange", "lindex", "lpos", "xrange", "xrevrange", "xread", "xlen"),
)
_WRITES = (
    *("set", "del", "unlink", "expire", "pexpire", "incr", "incrby"),
    *("hset", "hsetnx", "hdel", "hincrby", "hincrbyfloat"),
    *("sadd", "srem"),
    *("zadd", "zrem", "zremrangebyscore", "zremrangebyrank", "zpopmin"),
    *("lpush", "rpush", "lpop", "rpop", "lrem", "ltrim", "lset", "lmove", "blmove", "blpop", "xadd"),
    "publish",
)
_LISTENS = ("subscribe", "psubscribe", "unsubscribe", "punsubscribe")
#: The atomic steps: by their hash only. EVAL stays forbidden; what a loaded script calls is checked like all
#: else.
_STEPS = ("evalsha", "script|load", "script|exists", "multi", "exec", "discard", "watch", "unwatch", "time")
_ASK = ("info", "acl|whoami")

#: What the steps of an attempt's life write, and a node's report. The rest of the ledger (the lines, their
#: seals, the lead, the operator's word, the gate ledger) a worker only reads.
_WRITTEN_BY_WORKERS = (
    *(
        "state",
        "by_state:*",
        "dead_by_own_cause",
        "causes:*",
        "count:*",
        "class:*",
        "ready",
        "delayed",
        "waits_for:*",
        "waits_for_end:*",
        "waited_on_by:*",
    ),
    *(
        "reservations",
        "charges",
        "reserved",
        "leases",
        "admitted_at",
        "off_queue_at",
        "prefetched:*",
        "last_turn:*",
        "task_durations",
        "failures:*",
        "review:*",
        "own_priority",
        "stop_requests",
        "stop_grace",
        "successors",
        "successions",
        "early_successions",
        "offers",
        "revised",
        "preloaded",
        "successor_feed:*",
        "heard:*",
        "status:*",
    ),
    # Whether the ledger forgot something, and who holds what.
    *(
        "settled_history",
        "highest_seen_count",
        "handout_count",
        "highest_attempt",
        "reported_workers",
        "reported_attempts",
        "running:*",
    ),
    # What an attempt taught of its job's needs makes a new class.
    *("class_ids", "classes", "class_backlog"),
    # Files that were made and read, and the chains of their jobs.
    *("chain_node", "chain_busy", "chain_revision", "chain_file", "chain_made:*", "readers:*"),
    *(
        "removable_order:*",
        "removable",
        "removable_seq",
        "removable_bytes",
        "removing",
        "removed_once",
        "written",
    ),
    *(
        "bell",
        "nodes",
        "node:*",
        "left",
        "workers",
        "queues",
        "closed_rates",
        "endpoint_faults",
        "rate_limited",
        "breakers",
        "reported_calls",
        "events",
    ),
    # What is wrong, and which node speaks of it.
    *("alerts", "alert_speaker"),
)


class User(Value, frozen=True, kw_only=True):
    name: str
    password: str
    #: As ACL SETUSER takes them, the password's hash among them.
    rules: tuple[str, ...]


def users(keys: Keys = PLAIN) -> tuple[User, ...]:
    """The four users, each with a fresh password of 256 bits."""
    return tuple(a_user(part, secrets.token_urlsafe(32), keys) for part in (CONDUCTOR, WORKER, READER, ADMIN))


def a_user(part: str, password: str, keys: Keys = PLAIN) -> User:
    digest = hashlib.sha256(password.encode()).hexdigest()
    rules = ("reset", "on", f"#{digest}", *rules_of(keys)[part])
    return User(name=name_of(part, keys), password=password, rules=rules)


def name_of(part: str, keys: Keys) -> str:
    """Who says so to the server. The server's `admin` is the same for all projects."""
    return f"{part}-{keys.prefix}" if keys.prefix and part != ADMIN else part


def acl_text(found: tuple[User, ...]) -> str:
    """An ACL file (`aclfile` of redis.conf or valkey.conf). It holds hashes, not passwords; nobody gets in
    without.
    """
    lines = ["user default reset off", *(" ".join(("user", user.name, *user.rules)) for user in found)]
    return "\n".join(lines) + "\n"


def _commands(*groups: tuple[str, ...]) -> tuple[str, ...]:
    return ("-@all", *(f"+{name}" for group in groups for name in group))


def _keys(*patterns: str) -> tuple[str, ...]:
    return ("resetkeys", "resetchannels", *patterns)


def rules_of(keys: Keys) -> dict[str, tuple[str, ...]]:
    """Part → its rules, without state and password. No prefix holds a character that a pattern would take
    for more.
    """
    ledger, rq = f"{keys.ledger}*", f"{keys.rq}*"
    written = (f"~{keys.ledger}{name}" for name in _WRITTEN_BY_WORKERS)
    channels = f"&{keys.ledger}progress:*"
    rings = f"&{keys.ledger}handed_over:*"
    return {
        CONDUCTOR: (
            *_keys(f"~{ledger}", f"~{rq}", channels, rings),
            *_commands(_CONNECTION, _READS, _WRITES, _STEPS, _ASK),
        ),
        WORKER: (
            *_keys(f"%R~{ledger}", *written, f"~{rq}", channels, rings),
            *_commands(_CONNECTION, _READS, _WRITES, _STEPS, _LISTENS, _ASK, ("client|unblock",)),
        ),
        # MULTI only groups reads here: rq-dashboard's pages are read in pipelines.
        READER: (
            *_keys(f"%R~{ledger}", f"%R~{rq}", channels),
            *_commands(_CONNECTION, _READS, _LISTENS, ("multi", "exec", "scan"), _ASK),
        ),
        ADMIN: ("allkeys", "allchannels", "+@all"),
    }
