"""Races with changes between two deliveries: outcomes that are found win, the rest fails and is recorded."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.crash_databases import CrashDatabases
from tests.support.race_site import RaceSite, race_site
from tests.support.world import job, wait_until

CONTENT = b"order_no\n1\n"
RELEASED_FOR_SECONDS = 31


def remove(site: RaceSite) -> None:
    """As the bucket's life cycle does."""
    stored(site).unlink()


def change(site: RaceSite) -> None:
    """Somebody wrote another object under the same key."""
    stored(site).write_bytes(b"order_no\n2\n")


def withdraw(site: RaceSite) -> None:
    """The partner may not reach any customer any more."""
    site.configure(grants="[]")


@pytest.mark.parametrize(
    ("happens", "code"),
    [(remove, "attachment_missing"), (change, "attachment_mismatch"), (withdraw, "not_granted")],
)
def test_what_changes_between_two_deliveries_fails_only_what_is_not_done(
    tmp_path: Path, race_databases: CrashDatabases, happens: Callable[[RaceSite], None], code: str
) -> None:
    """Of two customers one was done and one was paused: it fails so, even when all is well again."""
    with race_site(tmp_path, race_databases.of("postgresql")) as site:
        body = with_attachment(site)
        site.configure(paused=True)
        site.send(body)
        first = site.start()
        wait_until(lambda: len(first.events("job.released")) > 0, "the first delivery's end")
        assert first.stop() == 0

        site.configure()
        happens(site)
        site.let_pass(RELEASED_FOR_SECONDS)
        assert site.start("--limit", "1").wait() == 0
        (answer,) = site.answers("one")
        site.configure()
        stored(site).write_bytes(CONTENT)
        site.send(body)
        assert site.start("--limit", "1").wait() == 0

    assert [part["status"] for part in answer["customers"]] == ["succeeded", "failed"]
    assert answer["customers"][1]["error"]["code"] == code
    assert site.answers("one") == [answer]
    assert site.databases.orders() == {"c-1": 1}
    assert {row["customer_id"]: row["state"] for row in site.databases.inbox_rows()} == {
        "c-1": "succeeded",
        "c-2": "failed",
    }
    assert (site.letters(), site.counts()) == ([], {(0, 0)})


def stored(site: RaceSite) -> Path:
    """The attachment's object."""
    return site.directory / "bucket" / "acme" / "lines.csv"


def with_attachment(site: RaceSite) -> dict[str, Any]:
    """A job of two customers with an attachment, which is put into its bucket."""
    stored(site).parent.mkdir(parents=True)
    stored(site).write_bytes(CONTENT)
    reference = {
        "name": "lines.csv",
        "bucket": f"file://{site.directory}/bucket",
        "key": "acme/lines.csv",
        "size": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    files = {"runs": str(site.directory / "runs"), "fails": str(site.directory / "never"), "order_no": 1}
    return job("one", ["c-1", "c-2"], type="orders.fragile", payload=files, attachments=[reference])
