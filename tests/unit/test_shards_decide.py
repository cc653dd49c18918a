"""What a row that is there already means for a claim: every case of the decision."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from shards.claims import Claimed, decide
from shards.inbox import (
    BrokenTransaction,
    ContentConflict,
    InboxRow,
    InboxState,
    Outcome,
    Superseded,
)
from tests.support.parts import DIGEST, OTHER_DIGEST, identity

ROW_RUN = 5
LOWER, SAME, HIGHER = ROW_RUN - 1, ROW_RUN, ROW_RUN + 1
COUNTS = Claimed(attempt=2, starts=1)
FRESH = Claimed(attempt=0, starts=0)


def row(state: InboxState, *, dead_letter: bool = False) -> InboxRow:
    ended = state in {InboxState.SUCCEEDED, InboxState.FAILED}
    return InboxRow(
        job_id="job-1",
        customer_id="c-1",
        run=ROW_RUN,
        state=state,
        attempt=COUNTS.attempt,
        starts=COUNTS.starts,
        digest=DIGEST,
        part_no=0,
        part_count=1,
        job_type="orders.insert",
        partner_id="acme",
        correlation_id=None,
        outcome=b"{}" if ended else None,
        dead_letter=dead_letter,
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        finished_at=datetime(2026, 11, 21, tzinfo=UTC) if ended else None,
    )


def found(state: InboxState) -> Outcome | None:
    return row(state).found_outcome()


@pytest.mark.parametrize(
    ("state", "run", "expected"),
    [
        (InboxState.SUCCEEDED, SAME, found(InboxState.SUCCEEDED)),
        (InboxState.SUCCEEDED, HIGHER, found(InboxState.SUCCEEDED)),
        (InboxState.FAILED, SAME, found(InboxState.FAILED)),
        (InboxState.FAILED, HIGHER, FRESH),
        (InboxState.OPEN, SAME, COUNTS),
        (InboxState.OPEN, HIGHER, FRESH),
    ],
)
def test_what_a_row_of_this_or_a_lower_run_means(
    state: InboxState, run: int, expected: Outcome | Claimed
) -> None:
    """An outcome is found; an open row is taken; a failed one only by a higher run, which counts anew."""
    assert decide(identity(run=run), row(state)) == expected


def test_a_found_outcome_is_the_row_s_own() -> None:
    """Its run, its bytes and its dead letter are those of the run that ended so, not of the one that asks."""
    outcome = decide(identity(run=SAME), row(InboxState.FAILED, dead_letter=True))

    assert outcome == Outcome("failed", ROW_RUN, b"{}", dead_letter=True)


@pytest.mark.parametrize("state", InboxState)
def test_a_copy_of_a_lower_run_is_superseded(state: InboxState) -> None:
    """Whatever the row's state is, and the error tells the run that is known."""
    with pytest.raises(Superseded) as error:
        decide(identity(run=LOWER), row(state))

    assert error.value.run == ROW_RUN


@pytest.mark.parametrize(
    ("state", "run", "take"), list(product(InboxState, (LOWER, SAME, HIGHER), (False, True)))
)
def test_another_content_is_a_conflict_first_of_all(state: InboxState, run: int, take: bool) -> None:  # noqa: FBT001  a column of the table above
    """The digest is compared before the run and before the state."""
    with pytest.raises(ContentConflict):
        decide(identity(run=run, digest=OTHER_DIGEST), row(state), take_claimed=take)


@pytest.mark.parametrize("run", [SAME, HIGHER])
def test_a_committed_claim_is_a_broken_transaction(run: int) -> None:
    """No rollback leaves such a row behind; a higher run does not heal it."""
    with pytest.raises(BrokenTransaction):
        decide(identity(run=run), row(InboxState.CLAIMED))


def test_a_committed_claim_can_be_taken_to_record_it() -> None:
    """Only who records the broken transaction takes the row, with its counts."""
    assert decide(identity(run=SAME), row(InboxState.CLAIMED), take_claimed=True) == COUNTS


def test_taking_a_committed_claim_never_takes_an_outcome() -> None:
    """Where an outcome is there, it wins also over the record of a broken transaction."""
    outcome = decide(identity(run=SAME), row(InboxState.SUCCEEDED), take_claimed=True)

    assert outcome == found(InboxState.SUCCEEDED)


def test_an_outcome_without_bytes_is_still_an_outcome() -> None:
    """An empty body is a body."""
    assert replace(row(InboxState.SUCCEEDED), outcome=None).found_outcome() == Outcome(
        "succeeded", ROW_RUN, b""
    )
