"""The events: every line of the log that tells of something that happened, by its name, with its fields.

Logs, the event stream, alerts and metrics read this one table. `docs/events.md` is made
from it, and a test holds that nobody emits a name or a field that is not here, and that nothing stands here
which nobody emits.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class EventKind(NamedTuple):
    level: Level
    #: One sentence.
    meaning: str
    #: Every one of these is there.
    fields: tuple[str, ...]
    #: Of these, those that the emitter knows.
    known: tuple[str, ...]


def _kind(level: Level, meaning: str, fields: str = "", known: str = "") -> EventKind:
    return EventKind(level, meaning, tuple(fields.split()), tuple(known.split()))


EVENTS: dict[str, EventKind] = {
    # jobs, as the conductor decides of them
    "job.admitted": _kind(
        "INFO", "The conductor handed a job over to a queue.", "job_id attempt task about lane place"
    ),
    "jobs.admitted": _kind(
        "INFO", "The conductor handed many short jobs over at once.", "job_ids jobs task lane place"
    ),
    "job.not_admitted": _kind(
        "DEBUG", "The hand-over turned down what the tick had decided.", "job_id attempt task lane why about"
    ),
    "job.rescued": _kind(
        "WARNING",
        "An attempt was taken back from a worker that is gone.",
        "job_id attempt task lane about error then",
        "cause",
    ),
    "job.returned": _kind(
        "INFO", "An attempt goes back to the backlog at no cost.", "job_id attempt task why about"
    ),
    "jobs.returned": _kind("INFO", "Jobs that nobody had started go back to the backlog.", "jobs node why"),
    "job.proved": _kind("INFO", "A receipt on disk proved a job done.", "job_id attempt task about"),
    "engine.fallback": _kind(
        "WARNING",
        "A job's work was done by another engine than it was meant for, or goes on with another.",
        "job_id task about from_engine to_engine why",
        "reason",
    ),
    "jobs.proved": _kind("INFO", "Receipts on disk proved further jobs done.", "jobs"),
    "job.forged": _kind(
        "WARNING",
        "A job without the seal of the configured key was cancelled.",
        "job_id attempt task about why",
    ),
    "kind.reviewed": _kind(
        "WARNING", "What waited of a kind went into review: its breaker stays open.", "kind jobs"
    ),
    # attempts, as their workers tell of them
    "job.started": _kind(
        "DEBUG", "A body has run for a second, and goes on.", "job_id attempt task about node device"
    ),
    "job.progress": _kind(
        "DEBUG", "How far a body is; every two seconds at most.", "job_id attempt task about progress note"
    ),
    "job.done": _kind(
        "INFO",
        "A job is done, and its receipt was handed in.",
        "job_id attempt task about seconds answer waited checked frames found",
    ),
    "jobs.done": _kind(
        "INFO",
        "Several short jobs are done, handed in at once.",
        "job_ids jobs task seconds waited checked frames found",
    ),
    "job.review": _kind(
        "INFO",
        "A job shows something to a person and waits for a word.",
        "job_id attempt task about items",
    ),
    "job.judged": _kind(
        "INFO",
        "A person's verdict ended a review: it is done, or dead.",
        "job_id attempt task what who about",
    ),
    "job.failed": _kind(
        "WARNING",
        "An attempt failed; the retry table says what becomes of the job.",
        "job_id attempt task cause error then",
        "about",
    ),
    "attempt.given_back": _kind(
        "INFO",
        "An attempt goes back unbegun: its cards are not there, or its API is closed.",
        "job_id attempt task about why",
    ),
    "attempt.unknown_task": _kind(
        "WARNING",
        "An attempt goes back for a while: its worker does not know the task.",
        "job_id attempt task about seconds error",
    ),
    "attempt.dropped": _kind(
        "INFO",
        "A worker drops an attempt that was given to another one, or began while another job got its turn.",
        "job_id attempt task about why",
    ),
    "attempt.not_started": _kind(
        "INFO", "An attempt is over, or another one has its place.", "job_id attempt about"
    ),
    "attempt.told_twice": _kind("ERROR", "A worker was told to run what it runs.", "job_id attempt about"),
    "attempt.not_running": _kind(
        "WARNING", "A worker's child told the end of an attempt that does not run.", "job_id attempt about"
    ),
    "attempt.adopted": _kind(
        "INFO", "Redis had forgotten an attempt, and it goes on.", "job_id attempt worker about"
    ),
    "attempt.frozen": _kind(
        "INFO", "A body is stopped while its host is somebody else's.", "job_id attempt why about"
    ),
    "attempt.thawed": _kind("INFO", "What was frozen goes on."),
    "entry.put_back": _kind(
        "INFO", "What a worker had taken and not started is in its queue again.", "queue"
    ),
    "entry.refused": _kind(
        "WARNING", "A worker refused an entry of its queue that is not Conductor's.", "queue job_id why what"
    ),
    "entry.broken": _kind(
        "WARNING", "RQ's record of a refused entry cannot be marked.", "queue job_id error"
    ),
    "receipt.waits": _kind(
        "ERROR", "A receipt cannot be written; its worker tries again.", "job_id attempt task about error"
    ),
    "receipt.not_written": _kind(
        "ERROR", "A failure's receipt cannot be written.", "job_id attempt about error"
    ),
    "receipt.taken_back": _kind(
        "INFO", "A receipt no longer counts: another attempt's came first.", "job_id attempt task about"
    ),
    # gates
    "gate.closed": _kind(
        "INFO", "A gate holds a class, and its reason is news.", "gate reason lane task waiting why"
    ),
    "gate.opened": _kind(
        "DEBUG", "A gate that held jobs of a task holds them no more.", "gate lane task seconds"
    ),
    "gates.lost": _kind(
        "DEBUG",
        "What each gate has cost since the ledger began, noted by the leader once a minute.",
        "readings",
    ),
    "lane.full": _kind(
        "DEBUG",
        "A class waits for a full queue, as is usual of a lane at work.",
        "gate reason lane task waiting why",
    ),
    "class.infeasible": _kind(
        "WARNING",
        "Jobs can never run here, or not while others use so much.",
        "gate reason lane task waiting why",
    ),
    "node_gate.closed": _kind("INFO", "A host, or a device of it, starts nothing new.", "gate device why"),
    "node_gate.opened": _kind("INFO", "A host, or a device of it, starts jobs again.", "gate device why"),
    "node_gate.untold": _kind(
        "WARNING", "A node-side gate is open, for its figure cannot be read.", "gate why"
    ),
    "counter.untold": _kind("WARNING", "The command of a counter told nothing.", "counter error"),
    "freezing.failed": _kind("ERROR", "Nothing is frozen, for no note of it can be written.", "file error"),
    # the conductor
    "leader.elected": _kind("INFO", "This conductor leads from now on.", "epoch"),
    "leader.standby": _kind("INFO", "This conductor stands by.", "leader"),
    "conductor.held_back": _kind("WARNING", "The conductor starts nothing.", "why"),
    "conductor.goes_on": _kind("INFO", "The ledger is whole again, and jobs are started."),
    "conductor.stopping": _kind("INFO", "The conductor was told to stop, and feeds nothing new."),
    "run.progress": _kind("INFO", "How far the run is.", "why"),
    "forecast.made": _kind("INFO", "When the run should end, where that is news.", "left seconds"),
    "forecast.stopped": _kind("DEBUG", "The forecast's process ended; another follows.", "error seconds"),
    "recording.stopped": _kind("WARNING", "Ticks are no longer recorded.", "error"),
    "needs.drifted": _kind("WARNING", "What a kind takes has moved away from what it took.", "kind what why"),
    "receipts.unseen": _kind("WARNING", "Receipts of a node do not come into this folder.", "node file"),
    "receipts.not_read": _kind("WARNING", "Receipts cannot be read.", "error", "file worker"),
    "receipts.not_whole": _kind(
        "WARNING", "A line of a receipts file is no whole receipt.", "file lines error"
    ),
    "output.read_back": _kind("INFO", "Published files were read back, and are whole.", "files"),
    "output.altered": _kind("ERROR", "A published file was altered.", "job_id task about file"),
    "receipts.not_mended": _kind("ERROR", "A file of receipts cannot be written again.", "file error"),
    "file.mended": _kind(
        "ERROR", "A file that only grows had lost lines, which were written again.", "file lines"
    ),
    "record.archived": _kind("INFO", "What is old of the record was archived.", "receipts lines files"),
    "archive.missing": _kind("WARNING", "An archive of the record is named and is not there.", "file"),
    "receipts.being_read": _kind("INFO", "How many receipts were read so far.", "receipts"),
    "receipts.being_taken_in": _kind("INFO", "How far the look through the receipts is.", "receipts total"),
    "receipts.taken_in": _kind(
        "INFO", "Receipts were looked through before anything is started.", "receipts jobs"
    ),
    "tasks.read": _kind("INFO", "The tasks were read anew.", "tasks"),
    "tasks.not_read": _kind("WARNING", "The tasks cannot be read anew, and stay as they were.", "error"),
    # schedules
    "schedule.fired": _kind(
        "INFO", "A schedule did what it is to do at its time.", "schedule fire jobs seconds"
    ),
    "schedule.skipped": _kind("WARNING", "Fires of a schedule were left out.", "schedule fire fires why"),
    "schedule.failed": _kind(
        "ERROR",
        "A schedule could not do what it is to do at its time.",
        "schedule fire exit_code error file seconds",
    ),
    # Redis
    "redis.lost": _kind("WARNING", "Redis does not answer.", "error"),
    "redis.back": _kind("INFO", "Redis answers again."),
    "events.dropped": _kind(
        "WARNING", "Events did not reach the stream; they are in the logs of who told them.", "events"
    ),
    "redis.restarted": _kind("INFO", "Redis was started again, and had forgotten nothing."),
    "redis.stepped_back": _kind(
        "WARNING", "Redis had forgotten what it was told last; attempts went back.", "attempts floor silent"
    ),
    "redis.failed_over": _kind(
        "WARNING",
        "Another server took Redis's place, and the ledger is whole again.",
        "server before seconds attempts told_again floor silent",
    ),
    "redis.told_again": _kind(
        "WARNING", "Redis was told again what it had forgotten.", "dispatched jobs places kinds"
    ),
    "valkey.restarted": _kind("WARNING", "The project's Valkey had ended, and is started again."),
    "valkey.woken": _kind(
        "WARNING", "The project's Valkey had been stopped by a signal, and was woken.", "pid"
    ),
    # nodes, workers, devices
    "node.up": _kind("INFO", "A node is up.", "node why"),
    "node.seen": _kind("INFO", "A node reports that did not before.", "node"),
    "node.left": _kind("INFO", "A node that was draining reports no more.", "node"),
    "node.lost": _kind("WARNING", "A node reports no more, and nobody had told it to end.", "node"),
    "node.resources": _kind(
        "DEBUG",
        "What a host has free, uses and has promised, noted by the leader once a minute.",
        "node readings",
    ),
    "engine.away": _kind("WARNING", "An engine does not answer; its pilots live on.", "engine error"),
    "engine.back": _kind("INFO", "An engine answers again.", "engine"),
    "job.not_run": _kind("WARNING", "An engine did not run a job it had.", "job_id about engine why"),
    "pilot.asked": _kind("INFO", "An engine was asked for a pilot, and what it said.", "pilot engine why"),
    "pilot.ended": _kind("INFO", "A pilot has ended.", "pilot engine why"),
    "pilot.young": _kind("WARNING", "A pilot was refused, or ended at once.", "pilot engine why"),
    "pilot.lost": _kind("WARNING", "Nobody tells of a pilot any more.", "pilot engine why"),
    "node.draining": _kind("INFO", "A node finishes what it has in hand, and takes nothing new."),
    "node.stopping": _kind("WARNING", "A node stops at once: what it has in hand goes back."),
    "node.leftovers_ended": _kind("WARNING", "Processes of an earlier node were ended.", "processes"),
    "node.embedded": _kind("INFO", "This run starts a node of its own, for none reports."),
    "node.restarted": _kind("WARNING", "The node of this run ended, and is started again.", "exit_code"),
    "part.ended": _kind("WARNING", "A part of the project ended, and is started again.", "part why seconds"),
    "part.killed": _kind("WARNING", "A part did not go on, and was killed.", "part", "pid seconds"),
    "operator.acted": _kind("INFO", "Somebody acted on a job by HTTP.", "who what job_id state about"),
    "operator.acted_on_many": _kind("INFO", "Somebody acted on many jobs at once.", "who what jobs"),
    "operator.acted_on_backlog": _kind(
        "INFO", "Somebody paused or resumed a backlog by HTTP.", "who what backlog"
    ),
    "operator.acted_on_schedule": _kind("INFO", "Somebody acted on a schedule by HTTP.", "who what schedule"),
    "operator.took_back": _kind("INFO", "Somebody took back what was done by HTTP.", "who what"),
    "operator.silenced": _kind("INFO", "Somebody silenced an alert rule by HTTP.", "who rule seconds"),
    "job.dispatched": _kind("INFO", "New jobs of a manifest are in a backlog.", "jobs file backlog"),
    "job.cancelled": _kind(
        "INFO",
        "A job was cancelled by the operator; one that runs is being stopped.",
        "job_id about task state",
    ),
    "operator.dispatched": _kind("INFO", "Somebody handed in a manifest by HTTP.", "who file"),
    "part.given_up": _kind("WARNING", "A part of the project is not started again.", "part"),
    "project.draining": _kind("INFO", "The project finishes what it has in hand."),
    "project.stopping": _kind("WARNING", "The project stops at once."),
    "worker.died": _kind("WARNING", "A worker died.", "worker pid exit_code error"),
    "worker.stuck": _kind(
        "ERROR", "A worker, or its child, does not move, and is ended.", "seconds", "pid job_ids"
    ),
    "worker.gave_way": _kind(
        "INFO", "Idle workers gave back what they kept on a device.", "workers job_id about"
    ),
    "child.replaced": _kind("INFO", "A worker takes a fresh child for its next body.", "worker why"),
    "lease.refused": _kind("WARNING", "The ledger refused to renew what a worker holds.", "worker error"),
    "device.freed": _kind("DEBUG", "An idle worker gave back what it kept on a device.", "worker device"),
    "device.quarantined": _kind(
        "WARNING", "A device keeps memory that nobody holds: nothing starts there.", "device why"
    ),
    "device.used_again": _kind("INFO", "A quarantined device is used again.", "device why"),
    "process.outlived": _kind(
        "WARNING", "A process outlived its worker and held VRAM, and was killed.", "pid job_id about"
    ),
    "process.left_frozen": _kind("WARNING", "A process that a worker had left frozen was killed.", "pid"),
    # alerts
    "alert.raised": _kind(
        "WARNING", "Something is wrong that people are to know of.", "rule subject why runbook"
    ),
    "alert.repeated": _kind("WARNING", "It still is, and people are reminded.", "rule subject why runbook"),
    "alert.resolved": _kind("INFO", "It is over.", "rule subject why"),
    "alert.not_sent": _kind("WARNING", "A channel did not take a message.", "channel error"),
    "alerts.not_judged": _kind("ERROR", "Whether something is wrong could not be judged.", "error"),
    "ping.failed": _kind("WARNING", "The dead-man's switch was not reached.", "error"),
    # files
    "files.removed": _kind("INFO", "Files that nobody needs any more were removed for their room.", "files"),
    "file.not_removed": _kind("WARNING", "A file or a folder cannot be removed.", "file error"),
    "folders.removed": _kind("INFO", "Folders of attempts that are over were removed.", "folders"),
    "printed.removed": _kind("INFO", "What bodies printed on earlier days was removed.", "folders file"),
    "state.lost": _kind("ERROR", "The project's state folder is gone: what runs here ends.", "file error"),
}
