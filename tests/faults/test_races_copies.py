"""Races for one job: its copies come to many workers at once, and each part is run and answered once."""

from pathlib import Path

import pytest

from tests.support.crash_databases import SERVERS, CrashDatabases
from tests.support.crash_job import HOMES
from tests.support.race_site import race_site
from tests.support.world import job, wait_until

COPIES = 20


@pytest.mark.parametrize("group", [1, 20])
@pytest.mark.parametrize("kind", SERVERS)
def test_sixteen_threads_in_four_processes_do_each_of_many_jobs_once(
    tmp_path: Path, race_databases: CrashDatabases, kind: str, group: int
) -> None:
    """One job sixteen times and sixteen others twice, all at the same moment; also where parts share."""
    wide = job("wide", [{"customer_id": one, "payload": {"rows": [order(1)]}} for one in HOMES])
    narrow = [job(f"job-{number}", [f"c-{number % 4 + 1}"], rows=[order(number)]) for number in range(2, 18)]
    sharing = f'[types."orders.insert"]\ngroup = {group}'
    with race_site(tmp_path, race_databases.of(kind), extra=sharing) as site:
        site.start_and_wait(4)
        site.send(*[one for number in range(16) for one in (wide, narrow[number], narrow[number - 1])])
        site.wait_until_settled()

        assert site.stop() == [0] * 4
        assert site.databases.order_numbers() == [1, 1, 1, 1, *range(2, 18)]
        for one in (wide, *narrow):
            (answer,) = site.answers(one["job_id"])
            assert answer["status"] == "succeeded"
        assert (site.letters(), site.counts()) == ([], {(0, 0)})


@pytest.mark.parametrize("kind", SERVERS)
def test_twenty_copies_of_a_long_part_wait_for_it_and_are_answered_alike(
    tmp_path: Path, race_databases: CrashDatabases, kind: str
) -> None:
    """They are busy, and never tried, counted or failed: one effect, and one answer for all."""
    with race_site(tmp_path, race_databases.of(kind)) as site:
        long = site.slow_job("long", rows=[order(1)])
        site.send(long)
        first = site.start("--limit", "1")
        site.wait_for_start()
        others = site.start_and_wait(2)
        site.send(*[long] * COPIES)
        wait_until(lambda: all(one.receive_count > 2 for one in site.waiting()[1:]), "copies to be busy")
        codes = {line["error_code"] for one in others for line in one.events("job.released")}
        site.go_on()
        site.wait_until_settled()
        first.wait()  # a process that is about to end by itself may no longer hear a signal

        assert site.stop() == [0, 0, 0]
        assert codes == {"busy"}
        assert site.databases.order_numbers() == [1]
        assert len(list(tmp_path.glob("started.*"))) == 1
        (answer,) = site.answers("long")
        assert answer["status"] == "succeeded"
        assert (site.letters(), site.counts()) == ([], {(0, 0)})


def order(number: int) -> dict[str, int]:
    """One row."""
    return {"order_no": number}
