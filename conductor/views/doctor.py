"""Is this machine ready? One finding a line: what was looked at, what was found, what to do about it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from conductor.base.errors import ConductorError
from conductor.base.secrets import without_passwords
from conductor.base.settings.sections import Root
from conductor.base.settings.settings import CONFIG_NAME, Settings
from conductor.base.text import many, size
from conductor.model.alerts import ChannelTally
from conductor.model.report import Device, Volume
from conductor.views.doctor_alerts import alert_channels
from conductor.views.doctor_finding import DoctorFinding, bad, less, ok
from conductor.views.doctor_gates import node_gates
from conductor.views.doctor_rights import programs, readable_secrets
from conductor.views.doctor_stores import of_stores

FFMPEG_LIMIT_S = 20.0
#: Less room than this beyond the headroom is worth a word.
LITTLE_BYTES = 2 << 30


def examine(settings: Settings) -> list[DoctorFinding]:
    """Everything, in the order a person would put it right."""
    looks: tuple[Callable[[Settings], Iterator[DoctorFinding]], ...] = (
        python,
        configuration,
        readable_secrets,
        redis,
        ffmpeg,
        onnx,
        devices,
        node_gates,
        own_folders,
        roots,
        tasks,
        strays,
        programs,
        endpoints,
        lambda settings: of_stores(settings.for_code),
        counters,
        channels,
        stopped,
        waiting,
    )
    return [finding for look in looks for finding in look(settings)]


def python(settings: Settings) -> Iterator[DoctorFinding]:
    words = f"{'.'.join(map(str, sys.version_info[:3]))} at {sys.executable}"
    if sys.version_info < (3, 14):
        yield ok("python", words)
    else:
        yield less("python", words, "tested on 3.11, 3.12 and 3.13")
    if not sys.platform.startswith("linux"):
        yield less(
            "system", f"{sys.platform}: children are not tied to their parent's death", "Linux does it all"
        )


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
    from conductor.adapters.redis.valkey_binary import binary_of

    if settings.redis.url is not None:
        yield answering(settings)
        return
    if words := fullness(settings.valkey):
        yield bad("valkey", *words.rsplit(": ", 1))
        return
    try:
        yield ok("valkey", f"the project's own, by {binary_of(place_of(settings.valkey))}")
    except ConductorError as e:
        yield bad("valkey", str(e), "install valkey-server, or set redis.url")


def answering(settings: Settings) -> DoctorFinding:
    from conductor.adapters.open_ledger import redis_of
    from conductor.adapters.redis.server_checks import distrust, server_facts
    from conductor.base.settings.origin import shown

    address = shown("redis.url", settings.redis.url)
    try:
        with redis_of(settings, is_lenient=True) as connection:
            connection.ping()
            faults = list(distrust(server_facts(connection)))
    except ConductorError as e:
        return bad(
            "redis", str(e), "start it, or take redis.url out: the project then has a Valkey of its own"
        )
    if faults:
        words, advice = (
            ", and ".join(part) for part in zip(*(f.rsplit(": ", 1) for f in faults), strict=True)
        )
        return bad("redis", f"{address} {words}", advice)
    return ok("redis", f"{address} answers")


def ffmpeg(settings: Settings) -> Iterator[DoctorFinding]:
    advice = "pip install imageio-ffmpeg, or put an ffmpeg on PATH"
    try:
        import imageio_ffmpeg

        binary = imageio_ffmpeg.get_ffmpeg_exe()
        words = subprocess.run(
            [binary, "-version"], capture_output=True, text=True, timeout=FFMPEG_LIMIT_S, check=True
        ).stdout
    except (ImportError, RuntimeError, OSError, subprocess.SubprocessError) as e:
        yield bad("ffmpeg", f"does not run: {e}", advice)
    else:
        yield ok("ffmpeg", f"{' '.join(words.split()[:3])} at {binary}")


def onnx(settings: Settings) -> Iterator[DoctorFinding]:
    try:
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as e:
        yield bad("onnxruntime", f"not installed ({e})", "pip install 'conductor-jobs[cpu]' (or [gpu])")
        return
    providers: list[str] = onnxruntime.get_available_providers()
    yield ok(
        "onnxruntime",
        f"{onnxruntime.__version__} with {', '.join(p.removesuffix('ExecutionProvider') for p in providers)}",
    )


def devices(settings: Settings) -> Iterator[DoctorFinding]:
    from conductor.adapters.host import nvml_probe
    from conductor.node.health.declared_devices import known_devices
    from conductor.node.queue_plan import node_name

    with known_devices(settings.state_dir, settings.devices.named, node_name(settings.node)):
        found, notes = nvml_probe.parse(nvml_probe.read(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    for device in found:
        yield of_device(device, settings)
    there = {device.key for device in found}
    for key in sorted(settings.devices.named.keys() - there):
        yield less(
            "gpu",
            f"devices.{key} is in {CONFIG_NAME}, and there is no {key}",
            "take it out, or see `nvidia-smi`",
        )
    if not found:
        on_cpu = (
            "the gpu lane runs on the CPU"
            if settings.lanes.gpu.on_cpu
            else "jobs of the gpu lane wait for one"
        )
        advice = "" if settings.lanes.gpu.on_cpu else "lanes.gpu.on_cpu = true runs them on the CPU"
        yield less("gpu", f"{'; '.join(notes) or 'none visible'}: {on_cpu}", advice)
    elif not is_cuda_there():
        yield bad(
            "gpu", "onnxruntime came without CUDA: sessions would run on the CPU", "scripts/bootstrap gpu"
        )


def of_device(device: Device, settings: Settings) -> DoctorFinding:
    name = f"{device.key} {device.name}" + (", a slice of a card (MIG)" if device.is_slice else "")
    if device.quarantined:
        is_unsized = not device.vram_total_mib and device.key not in settings.devices.named
        advice = "" if is_unsized else "see `nvidia-smi`; nothing is placed there meanwhile"
        return bad("gpu", f"{name}: {device.quarantined}", advice)
    if device.is_declared:
        return ok(
            "gpu", f"{name}, {device.vram_total_mib} MiB as {CONFIG_NAME} says: the driver does not tell"
        )
    if device.key in settings.devices.named:
        told = f"{name}, {device.vram_total_mib} MiB by its driver, which counts"
        return less("gpu", told, f"devices.{device.key}.vram_mib is not needed: take it out of {CONFIG_NAME}")
    return ok("gpu", f"{name}, {device.vram_total_mib} MiB")


def is_cuda_there() -> bool:
    try:
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        return True  # said already
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def own_folders(settings: Settings) -> Iterator[DoctorFinding]:
    for what in ("state_dir", "receipts_dir", "logs_dir", "manifests_dir"):
        folder: Path = getattr(settings, what)
        there = existing_part(folder)
        if fault := write_fault(there):
            yield bad(
                what,
                f"{folder} cannot be written: {fault}",
                f"set {what} in {CONFIG_NAME}, or its permissions",
            )
        else:
            yield ok(what, f"{folder}, {size(shutil.disk_usage(there).free)} free")


def existing_part(folder: Path) -> Path:
    """What there is of it: who only looks makes no folders."""
    return next((path for path in (folder, *folder.parents) if path.exists()), folder)


def write_fault(folder: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
    except OSError as e:
        return e.strerror or str(e)
    return None


def roots(settings: Settings) -> Iterator[DoctorFinding]:
    for volume in volumes_of(settings.roots):
        what, headroom = f"root {volume.root}", settings.roots[volume.root].headroom_bytes
        if volume.fault or not volume.is_writable:
            fault = volume.fault or "not writable"
            words = fault if volume.path in fault else f"{volume.path}: {fault}"
            yield bad(what, words, f"mount it, make it writable, or change roots.{volume.root}.path")
        elif volume.free_bytes is None:
            yield less(what, f"{volume.path}: free space unknown")
        elif volume.free_bytes < headroom:
            words = f"{volume.path}: {size(volume.free_bytes)} free, below the headroom of {size(headroom)}"
            yield bad(what, words, f"make room, or lower roots.{volume.root}.headroom_bytes")
        elif volume.free_bytes < headroom + LITTLE_BYTES:
            yield less(what, f"{volume.path}: only {size(volume.free_bytes - headroom)} to hand out")
        else:
            yield ok(what, f"{volume.path}, {size(volume.free_bytes)} free")


def volumes_of(roots: Mapping[str, Root]) -> tuple[Volume, ...]:
    """As they are; of one that is made with its first file, that on which it will be."""
    found = probed(roots)
    absent = {v.root for v in found if v.fault == f"{v.path} is not there" and roots[v.root].marker is None}
    instead = {
        name: msgspec.structs.replace(roots[name], path=existing_part(roots[name].path)) for name in absent
    }
    later = {volume.root: volume for volume in probed(instead)}
    return tuple(replace(later[v.root], path=v.path) if v.root in absent else v for v in found)


def probed(roots: Mapping[str, Root]) -> tuple[Volume, ...]:
    from conductor.adapters.host.disk_probe import DiskProbe

    probe = DiskProbe(roots)
    try:
        return probe.read()
    finally:
        probe.close()


def tasks(settings: Settings) -> Iterator[DoctorFinding]:
    from conductor.dispatch.catalogue import catalogue_of

    try:
        yield ok("tasks", f"{many(len(catalogue_of(settings.for_code)), 'task')} declared")
    except ConductorError as e:
        yield bad("tasks", str(e), "see task_modules in conductor.toml")


def strays(settings: Settings) -> Iterator[DoctorFinding]:
    """How what a body leaves running is found when its worker was killed with it."""
    from conductor.adapters.host import cgroup

    if not sys.platform.startswith("linux"):
        return  # said already
    if not (why := cgroup.why_none()):
        yield ok(
            "strays", "each worker's child has a cgroup of its own: all that a body starts is ended with it"
        )
        return
    words = "what outlives a killed worker is found by its session, its parents and a mark in its environment"
    advice = "where systemd runs: `systemd-run --user --scope -p Delegate=yes conductor up`"
    yield less("strays", f"{why}: {words}", advice)


def endpoints(settings: Settings) -> Iterator[DoctorFinding]:
    for name, endpoint in settings.endpoints.items():
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
    from conductor.node.queue_plan import node_name
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
