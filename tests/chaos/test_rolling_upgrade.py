"""Two versions of the code at once: an older one beside today's, on two hosts with folders of their
own, work in flight all the while. What one wrote the other reads; nothing is lost, doubled or wrong.

Needs the history of the repository: a checkout without it (a shallow clone, an archive) skips this, with a
word. A version of one's choice: UPGRADE_FROM=COMMIT.
"""

from __future__ import annotations

import io
import os
import random
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.chaos import play
from tests.chaos.jobs import made
from tests.chaos.world import REPOSITORY, ChaosWorld, Role, a_world

DAY_S = 86_400
#: Of a step, on a machine that is busy.
LIMIT_S = 120.0
#: Before each of the six steps so many more are dispatched.
MORE = 12
#: What is at work takes so long: over a step, and short enough to wait for.
SECONDS = (0.05, 0.3, 1.0)


def git(*words: str) -> bytes:
    return subprocess.run(
        ["git", "-C", str(REPOSITORY), *words], capture_output=True, check=True, stdin=subprocess.DEVNULL
    ).stdout


def version_before() -> str:
    """The oldest commit of the last day that runs with today's packages; empty: the history does not go back
    to another one than today's."""
    if chosen := os.environ.get("UPGRADE_FROM"):
        return chosen
    try:
        newest, head = git("log", "-1", "--format=%ct %H").decode().split()
        packages_at, packages = git("log", "-1", "--format=%ct %H", "--", "locks").decode().split()
        day_before = git("rev-list", "-1", f"--before={int(newest) - DAY_S}", "HEAD").decode().strip()
        since = int(git("log", "-1", "--format=%ct", day_before)) if day_before else 0
    except (subprocess.CalledProcessError, OSError, ValueError):
        return ""
    found = packages if int(packages_at) > since else day_before
    return "" if found == head else found


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    commit = version_before()
    if not commit:
        pytest.skip("the history of this checkout holds no other version that could be run beside this one")
    folder = tmp_path_factory.mktemp("old") / "code"
    archive = git("archive", commit, "conductor", "workers", "workflows")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


class Upgrade:
    """Two hosts, «a» and «b», and what is started of which version."""

    def __init__(self, world: ChaosWorld, old_code: Path) -> None:
        self.world = world
        self._old = {"PYTHONPATH": f"{old_code}{os.pathsep}{world.folder}"}
        self._rng = random.Random(8)
        self._conductors = self._dispatched = 0

    def node(self, host: str, is_old: bool) -> Role:
        own = self.world.folder.parent / host
        env = {"CONDUCTOR_NODE": host, "CONDUCTOR_STATE_DIR": str(own / "state")}
        env |= {"CONDUCTOR_LOGS_DIR": str(own / "logs")}
        return self.world.keep(f"node-{host}", "node", **env, **(self._old if is_old else {}))

    def conductor(self, is_old: bool) -> Role:
        """Once it leads or stands by. On a busy machine work that was handed over before goes on for as long
        as it takes to begin, and one that is told to end while it still imports ends by the signal."""
        self._conductors += 1
        name, env = f"conductor{self._conductors}", self._old if is_old else {}
        role = self.world.keep(name, "conduct", "--backlog", "backlog:chaos", **env)
        said = self.world.folder / f"{name}.out"
        # Whoever stands by says no more than how much is done.
        is_there = ("Leading", " done; ")
        self.world.until(
            lambda: any(word in said.read_text() for word in is_there), f"{name} is there", LIMIT_S
        )
        return role

    def end(self, role: Role) -> None:
        """As a service manager does: it drains."""
        self.world.roles.remove(role)
        assert role.process is not None
        role.process.terminate()
        assert role.process.wait(60.0) == 0, (self.world.folder / f"{role.name}.out").read_text()[-2000:]

    def more(self) -> None:
        jobs = [
            made(n, "chaos.step", {"n": n, "seconds": self._rng.choice(SECONDS)}, outputs=1)
            for n in range(self._dispatched, self._dispatched + MORE)
        ]
        self._dispatched += MORE
        self.world.put(*jobs)

    def goes_on(self, *hosts: str) -> None:
        """More is dispatched, some of it ends, and each of these hosts has begun something since."""
        before = self.ended()
        self.more()
        self.world.until(lambda: self.ended() >= before + MORE // 2, "it goes on", LIMIT_S)
        for host in hosts:
            self.world.until(lambda host=host: self.works(host), f"{host} works", LIMIT_S)

    def works(self, host: str) -> bool:
        if any(held["node"] == host for held in self.world.active()):
            return True
        if self.world.is_over():
            self.more()
        return False

    def ended(self) -> int:
        return play.ended(self.world)

    def held_by(self, host: str) -> int:
        return sum(held["node"] == host for held in self.world.active())


def reads_later_reports(code: Path) -> bool:
    """Versions from before refuse a report with a field that they do not know."""
    return "forbid_unknown_fields=False" in (code / "conductor/model/report.py").read_text()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_rolling_upgrade_and_the_way_back_with_work_in_flight(
    tmp_path: Path, redis_url: str, old_code: Path
) -> None:
    with a_world(tmp_path / "project", nodes=0, conductors=0, redis_url=redis_url) as world:
        upgrade = Upgrade(world, old_code)
        # Given all of yesterday, at work
        leading, a, b = upgrade.conductor(is_old=True), upgrade.node("a", True), upgrade.node("b", True)
        upgrade.goes_on("a", "b")
        # When a conductor of today stands by and takes over: nodes of yesterday, with what they have in hand
        today = upgrade.conductor(is_old=False)
        upgrade.end(leading)
        upgrade.goes_on("a", "b")
        # And one host is drained, upgraded and comes back, while the other works on
        world.command("drain", "a")
        world.until(lambda: not upgrade.held_by("a"), "a has nothing in hand", LIMIT_S)
        upgrade.goes_on("b")
        assert not upgrade.held_by("a")
        upgrade.end(a)
        a = upgrade.node("a", is_old=False)
        world.command("drain", "a", "--undo")
        upgrade.goes_on("a", "b")
        # Then the way back: nodes first, for a version from before may not read what later nodes report
        if not reads_later_reports(old_code):
            upgrade.end(a)
            a = upgrade.node("a", is_old=True)
            upgrade.goes_on("a")
        yesterday = upgrade.conductor(is_old=True)
        upgrade.end(today)
        upgrade.goes_on("a", "b")
        # And all of today ends the night
        today = upgrade.conductor(is_old=False)
        upgrade.end(yesterday)
        for host, role in (("a", a), ("b", b)):
            upgrade.end(role)
            upgrade.node(host, is_old=False)
        upgrade.goes_on("a", "b")
        while not world.is_over():
            play.wait_for_another(world)

        assert world.counts().get("x", 0) == 0
        # The first was made by yesterday's code, the last by today's.
        for manifest in (world.manifests[0], world.manifests[-1]):
            world.command("verify", str(manifest))
        assert play.checked(world) == []
