"""A host joins while another one's queue holds a job that nobody has begun: on a real Valkey, with played
hosts."""

from __future__ import annotations

from builders import a_class, a_report
from loop_scene import a_conductor, dispatch, publish, running, take, wait_until

from conductor.adapters.open_ledger import connect, redis_ledger


def test_a_host_that_joins_gets_what_waits_behind_another_one_and_what_runs_stays(redis_url: str) -> None:
    with connect(redis_url) as client:
        ledger = redis_ledger(client)
        publish(ledger, a_report("alpha", workers=1))
        dispatch(ledger, a_class("cloud", duration_s=60.0), 2)
        with running(a_conductor(ledger)):
            wait_until(lambda: len(ledger.handover.reservations()) == 2)
            first, second = ledger.handover.reservations()
            take(ledger, first)
            publish(ledger, a_report("beta", workers=1))

            wait_until(lambda: "beta" in {r.node for r in ledger.handover.reservations()})

        held = {r.job_id: (r.node, r.state, r.attempt) for r in ledger.handover.reservations()}
        assert held == {first.job_id: ("alpha", "running", 1), second.job_id: ("beta", "admitted", 2)}
        assert client.lrange("rq:queue:cloud-alpha", 0, -1) == []
        assert client.lrange("rq:queue:cloud-beta", 0, -1) == [f"{second.job_id}-a2".encode()]
