"""The verdict on a job that went through workers that died: which promises are broken in the end."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.support.crash_job import ENDS, FAILING
from tests.support.crash_queues import FAILURES, RESPONSES
from tests.support.crash_site import CrashSite

TIMES = re.compile(r'"(received_at|finished_at)":"[^"]*"')
EFFECTS = {customer: 1 for customer in ENDS if customer != FAILING}
COUNTS = {customer: (int(customer == FAILING), 0) for customer in ENDS}


def faults(site: CrashSite) -> set[str]:
    """What is wrong: nothing."""
    holds = {**_of_effects(site), **_of_answers(site), **_of_letters(site), **_of_rests(site)}
    return {promise for promise, kept in holds.items() if not kept}


def _of_effects(site: CrashSite) -> Mapping[str, bool]:
    orders = site.databases.orders()
    return {
        "no effect twice": all(count == 1 for count in orders.values()),
        "each effect, and no other": set(orders) == set(EFFECTS),
    }


def _of_answers(site: CrashSite) -> Mapping[str, bool]:
    told = [message.body for message in site.queues.messages(RESPONSES)]
    bodies = [body for body in told if json.loads(body)["status"] != "running"]
    return {
        "an answer": bool(bodies),
        "the same answer": len({TIMES.sub("", body) for body in bodies}) <= 1,
        "the right answer": all(map(_is_right, map(json.loads, bodies))),
    }


def _is_right(answer: Mapping[str, Any]) -> bool:
    ends = [(part["customer_id"], part["status"]) for part in answer["customers"]]
    return answer["status"] == "partial" and ends == list(ENDS.items())


def _of_letters(site: CrashSite) -> Mapping[str, bool]:
    letters = site.queues.messages(FAILURES)
    headers = [json.loads(letter.attributes["Shardworker"]["StringValue"]) for letter in letters]
    told = {tuple(header[name] for name in ("code", "reason", "attempt", "origin")) for header in headers}
    return {
        "a dead letter": bool(letters),
        "the same dead letter": len(told) <= 1 and {one.body for one in letters} <= {site.job.body},
    }


def _of_rests(site: CrashSite) -> Mapping[str, bool]:
    rows, left = site.databases.inbox(), site.left()
    counts = {customer: (row["attempt"], row["starts"]) for customer, row in rows.items()}
    return {
        "no message left": left.messages == 0,
        "no file left": left.files == 0,
        "each row final": {customer: row["state"] for customer, row in rows.items()} == ENDS,
        "no death counted": counts == COUNTS,
    }
