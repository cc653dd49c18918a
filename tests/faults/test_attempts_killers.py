"""A message that kills its process again and again is found out, and nobody who died with it is blamed."""

import json
import signal
from pathlib import Path

from tests.support.crash_databases import CrashDatabases
from tests.support.race_site import RaceSite, race_site
from tests.support.world import job, wait_until

UNCOUNTED, COUNTED = 4, 3
NEIGHBOURS = ("c-1", "c-2", "c-3")


def test_a_killer_ends_after_three_counted_starts_and_its_neighbours_succeed(
    tmp_path: Path, race_databases: CrashDatabases
) -> None:
    """They were in their handlers at each death in company, as often received, and once started in vain."""
    with race_site(tmp_path, race_databases.of("postgresql")) as site:
        site.send(*[site.slow_job(f"innocent-{one}", [one], rows=[{"order_no": 1}]) for one in NEIGHBOURS])
        site.send(killer(site))
        for _ in range(UNCOUNTED + 1):
            die_together(site, company=len(NEIGHBOURS))
        starts = {(row["job_id"], row["starts"]) for row in site.databases.inbox_rows()}
        site.go_on()
        for _ in range(COUNTED - 1):
            die_together(site, company=0)
        last = site.start("--limit", str(len(site.waiting())))

        assert last.wait() == 0
        assert starts == {("killer", 1), *((f"innocent-{one}", 1) for one in NEIGHBOURS)}
        assert site.databases.orders() == dict.fromkeys(NEIGHBOURS, 1)
        for one in NEIGHBOURS:
            assert [answer["status"] for answer in site.answers(f"innocent-{one}")] == ["succeeded"]
        (answer,) = site.answers("killer")
        (row,) = (row for row in site.databases.inbox_rows() if row["job_id"] == "killer")
        assert answer["customers"][0]["error"]["code"] == "worker_killed"
        assert (row["starts"], row["attempt"]) == (COUNTED, 0)
        assert site.letters() == [("killer", "worker_killed")]


def die_together(site: RaceSite, company: int) -> None:
    """Let a worker take all that there is, and die once so many others are in their handlers."""
    (site.directory / "company").write_text(json.dumps(company))
    assert site.start().wait() == -signal.SIGKILL
    # a poll of the dead one's that is still under way would count as one more receive
    wait_until(lambda: not site.queues.server.connections, "the end of its connections")
    site.end_leases()


def killer(site: RaceSite) -> dict[str, object]:
    """The job whose handler ends its process."""
    files = {"started": str(site.directory / "started"), "company": str(site.directory / "company")}
    return job("killer", ["c-4"], type="orders.deadly", payload=files)
