"""The kinds of jobs of a soak, and how often each comes.

What is expected of each stands beside it, from docs/wire.md and docs/delivery.md; the product is not asked.
"""

from collections.abc import Callable, Mapping
from typing import Final

from tests.soak import bad_jobs, good_jobs
from tests.soak.case import Case
from tests.soak.desk import Desk

Kind = Callable[[Desk], Case]

WEIGHTS: Final[Mapping[Kind, int]] = {
    good_jobs.rows: 300,
    good_jobs.shared_rows: 160,
    good_jobs.own_payloads: 100,
    good_jobs.lines: 80,
    good_jobs.own_files: 25,
    good_jobs.script: 120,
    good_jobs.claim_check: 20,
    bad_jobs.bad_row: 20,
    bad_jobs.refused_row: 25,
    bad_jobs.bad_file: 10,
    bad_jobs.missing_file: 8,
    bad_jobs.changed_file: 8,
    bad_jobs.foreign_file: 5,
    bad_jobs.refused: 20,
    bad_jobs.retried: 15,
    bad_jobs.tried_in_vain: 6,
    bad_jobs.crashed: 6,
    bad_jobs.expired: 10,
    bad_jobs.unknown_type: 6,
    bad_jobs.unknown_customer: 8,
    bad_jobs.not_granted: 10,
    bad_jobs.same_customer_twice: 5,
    bad_jobs.malformed: 6,
    bad_jobs.unreadable: 5,
    bad_jobs.by_php: 4,
    bad_jobs.two_contents: 18,
    good_jobs.dry_run: 25,
    good_jobs.dry_run_in_vain: 8,
}
"""How often each kind comes, beside the others; killers stand apart, for each costs several processes."""
