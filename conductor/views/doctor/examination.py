"""Is this machine ready? One finding a line: what was looked at, what was found, what to do about it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping

from conductor.base.errors import ConductorError
from conductor.base.secrets import without_passwords
from conductor.base.settings.endpoint_settings import Endpoint
from conductor.base.settings.settings import CONFIG_NAME, Settings
from conductor.base.text import many
from conductor.model.alerts import ChannelTally
from conductor.node.queue_plan import node_name
from conductor.views.doctor.alerts import alert_channels
from conductor.views.doctor.devices import devices
from conductor.views.doctor.engines import of_engines
from conductor.views.doctor.finding import DoctorFinding, bad, less, ok
from conductor.views.doctor.folders import own_folders, roots
from conductor.views.doctor.gates import node_gates
from conductor.views.doctor.installation import ffmpeg, onnx, python, strays
from conductor.views.doctor.rights import programs, readable_secrets
from conductor.views.doctor.stores import of_stores

OWN_FOLDERS = ("state_dir", "receipts_dir", "logs_dir", "manifests_dir")


def examine(settings: Settings) -> list[DoctorFinding]:
    """Everything, in the order a person would put it right."""
    looks = (
        python(),
        configuration(settings),
        readable_secrets(settings),
        redis(settings),
        ffmpeg(),
        onnx(),
        devices(
            settings.state_dir,
            node_name(settings.node),
            settings.devices.named,
            settings.lanes.gpu.on_cpu,
        ),
        node_gates(settings),
        own_folders({what: getattr(settings, what) for what in OWN_FOLDERS}),
        roots(settings.roots),
        tasks(settings),
        strays(),
        programs(settings),
        endpoints(settings.endpoints),
        of_stores(settings.for_code),
        of_engines(settings.engines, node_name(settings.node)),
        counters(settings),
        channels(settings),
        stopped(settings),
        waiting(settings),
    )
    return [finding for look in looks for finding in look]


def configuration(settings: Settings) -> Iterator[DoctorFinding]:
    from conductor.record.project_folder import BEGIN, is_project, no_project

    file = settings.project / CONFIG_NAME
    if not is_project(settings):
        yield bad("project", no_project(settings), f"go to a project's folder (or --project), or {BEGIN}")
    elif file.is_file():
        yield ok("configuration", f"{file} (`conductor config show --origin`)")
    else:
        yield ok(
            "configuration",
            f"no {CONFIG_NAME} at or above {settings.project}: defaults, this folder is the project",
        )


def redis(settings: Settings) -> Iterator[DoctorFinding]:
    from conductor.adapters.redis.valkey import fullness, place_of
    from conductor.adapters.redis.valkey_binary import binary_of, hole_of

    if settings.redis.url is not None:
        yield from answering(settings)
        return
    if words := fullness(settings.valkey):
        yield bad("valkey", *words.rsplit(": ", 1))
        return
    try:
        binary = binary_of(place_of(settings.valkey))
        if hole := hole_of(binary):
            words, advice = hole.rsplit(": ", 1)
            yield less("valkey", f"the project's own, by {binary}: {words}", advice)
        else:
            yield ok("valkey", f"the project's own, by {binary}")
    except ConductorError as e:
        yield bad("valkey", str(e), "install valkey-server, or set redis.url")


def answering(settings: Settings) -> Iterator[DoctorFinding]:
    from conductor.adapters.open_ledger import redis_of
    from conductor.adapters.redis.client import address as address_of
    from conductor.adapters.redis.known_holes import hole_in_facts
    from conductor.adapters.redis.sentinel.following_connection import finder_of
    from conductor.adapters.redis.server_checks import distrust, risks, server_facts
    from conductor.base.settings.origin import shown

    address = shown("redis.url", settings.redis.url)
    try:
        with redis_of(settings, is_lenient=True) as connection:
            connection.ping()
            facts = server_facts(connection)
            faults, at_risk = list(distrust(facts)), risks(connection)
            if hole := hole_in_facts(facts):
                words, advice = hole.rsplit(": ", 1)
                at_risk.append((words, f"{advice}, unless your distribution has mended it in its own way"))
            if finder_of(connection) is not None:
                address += f", now {address_of(connection)},"
    except ConductorError as e:
        advice = "start it, or take redis.url out: the project then has a Valkey of its own"
        yield bad("redis", str(e), advice)
        return
    if faults:
        words, advice = (
            ", and ".join(part) for part in zip(*(f.rsplit(": ", 1) for f in faults), strict=True)
        )
        yield bad("redis", f"{address} {words}", advice)
    else:
        yield ok("redis", f"{address} answers")
    for words, advice in at_risk:
        yield less("redis", words, advice)


def tasks(settings: Settings) -> Iterator[DoctorFinding]:
    from conductor.dispatch.catalogue import catalogue_of

    try:
        yield ok("tasks", f"{many(len(catalogue_of(settings.for_code)), 'task')} declared")
    except ConductorError as e:
        yield bad("tasks", str(e), "see task_modules in conductor.toml")


def endpoints(declared: Mapping[str, Endpoint]) -> Iterator[DoctorFinding]:
    for name, endpoint in declared.items():
        variable = endpoint.api_key_env
        if variable and not os.environ.get(variable):
            yield bad(f"endpoint {name}", f"its key is not set: ${variable} is empty", f"export {variable}=…")
        else:
            yield ok(f"endpoint {name}", without_passwords(endpoint.base_url))


def counters(settings: Settings) -> Iterator[DoctorFinding]:
    """The commands that tell what others hold, each run once."""
    from conductor.adapters.host.counter_commands import ask
    from conductor.base.secrets import for_programs

    for name, counter in settings.counters.items():
        what = f"counter {name}"
        if not counter.command:
            yield ok(what, f"{counter.limit} by the {counter.per}")
            continue
        found = ask(
            counter.command, settings.project, for_programs(settings.secrets.variables), counter.timeout_s
        )
        if found.fault:
            state = "nothing more is given out" if counter.on_stale == "shut" else "as if others held none"
            advice = (
                f"try it: {shlex.join(counter.command)}; after {counter.stale_after_s:g} s of that: {state}"
            )
            yield bad(what, f"its command tells nothing: {found.fault}", advice)
        else:
            yield ok(what, f"{counter.limit} by the {counter.per}, others hold {found.others}")


def channels(settings: Settings) -> Iterator[DoctorFinding]:
    """Who would be told when something is wrong. Starts no Redis."""
    from conductor.adapters.open_ledger import open_ledger
    from conductor.adapters.redis.valkey import is_running

    def tallies() -> Mapping[str, ChannelTally]:
        if settings.redis.url is None and not is_running(settings.valkey):
            return {}
        try:
            with open_ledger(settings, is_lenient=True) as ledger:
                return ledger.alerts.book().channels
        except ConductorError:
            return {}  # said already

    yield from alert_channels(settings.alerts, tallies)


def stopped(settings: Settings) -> Iterator[DoctorFinding]:
    """What nobody above would start again."""
    from conductor.adapters.host.processes import live_pid
    from conductor.adapters.host.stopped_processes import is_stopped
    from conductor.node.single_instance import pid_path, up_file

    for what, file in (
        ("up", up_file(settings.layout)),
        ("node", pid_path(settings.layout, node_name(settings.node))),
    ):
        pid = live_pid(file)
        if pid is not None and is_stopped(pid):
            yield bad(
                what, f"pid {pid} stands still, stopped by a signal", f"kill -CONT {pid}, or `conductor down`"
            )


def waiting(settings: Settings) -> Iterator[DoctorFinding]:
    """What waits in vain, where a conductor runs and says so. Starts no Redis."""
    from conductor.adapters.open_ledger import open_ledger
    from conductor.adapters.redis.valkey import is_running
    from conductor.core.admission.earliest_start import is_never
    from conductor.core.admission.explain import never_sentence, never_words
    from conductor.core.admission.sentences import words_of
    from conductor.model.decision import GateLedger

    if settings.redis.url is None and not is_running(settings.valkey):
        return
    try:
        with open_ledger(settings, is_lenient=True) as ledger:
            gates = GateLedger() if ledger.leadership.leader() is None else ledger.gate_record.gates()
    except ConductorError:
        return  # said already
    advice = "close what uses it, `conductor needs --forget JOB`, or change the line's needs"
    for hold in gates.holds:
        for verdict in (v for v in hold.closed if v.is_refused):
            yield bad(
                "waiting",
                f"{many(hold.waiting, 'job')} of {hold.task}: {words_of(verdict)}",
                "`conductor status`",
            )
        for verdict in (v for v in hold.closed if v.is_broken):
            last = "their last words are in logs/; `conductor explain JOB`"
            yield bad("waiting", f"{many(hold.waiting, 'job')} of {hold.task}: {words_of(verdict)}", last)
        if is_never(hold, gates.at):
            yield bad("waiting", f"{never_words(hold, gates.at)}: {never_sentence(hold, gates.at)}", advice)
