"""The notices, and which of them are a reason to leave."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.support.imds import REBALANCE, SPOT, STATE, FakeMetadata
from worker.ec2.metadata import Metadata
from worker.ec2.notices import Leaving, Notices, Outlook, Rebalance, SpotNotice, reason_to_leave

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SPOT_NOTICE = SpotNotice("terminate", NOON)


@pytest.fixture
def service() -> Iterator[FakeMetadata]:
    with FakeMetadata() as service:
        yield service


def test_all_three_are_read(service: FakeMetadata) -> None:
    """In the forms that EC2 gives them."""
    service.aim_at("InService")
    service.announce_interruption(NOON, "hibernate")
    service.recommend_rebalance(NOON)
    outlook = Outlook(Metadata(service.endpoint_url))

    assert outlook.look() is None
    assert outlook.notices == Notices("InService", SpotNotice("hibernate", NOON), Rebalance(NOON))


@pytest.mark.parametrize("path", [STATE, SPOT, REBALANCE])
def test_what_cannot_be_read_keeps_its_value_and_hides_nothing_else(service: FakeMetadata, path: str) -> None:
    """One path that fails for ever must not hide that the machine is taken."""
    outlook = Outlook(Metadata(service.endpoint_url))
    service.aim_at("Standby")
    service.announce_interruption(NOON)
    service.recommend_rebalance(NOON)
    outlook.look()
    before = outlook.notices
    service.values[SPOT] = '{"action": "stop", "time": "2026-11-22T12:00:00Z"}'
    service.values[REBALANCE] = '{"noticeTime": "2026-11-22T13:00:00Z"}'
    service.aim_at("Terminated")
    service.fail(path, 1)

    assert outlook.look() is not None
    kept = [old == new for old, new in zip(before, outlook.notices, strict=True)]
    assert kept == [path == STATE, path == SPOT, path == REBALANCE]


@pytest.mark.parametrize("text", ["", "{", "{}", '{"action": "stop", "time": "soon"}'])
def test_a_notice_that_cannot_be_understood_is_a_fault_and_no_notice(
    service: FakeMetadata, text: str
) -> None:
    """It is told, and read again."""
    service.values[SPOT] = text
    outlook = Outlook(Metadata(service.endpoint_url))
    fault = outlook.look()

    assert fault is not None
    assert "cannot be understood" in str(fault)
    assert outlook.notices.spot is None


@pytest.mark.parametrize("state", [None, "InService", "SomethingNew"])
def test_in_service_or_in_no_group_workers_work(state: str | None) -> None:
    """A state that is not known yet is no reason to stop."""
    assert reason_to_leave(Notices(state), rebalance_drains=True) is None


@pytest.mark.parametrize("state", ["Terminated", "Warmed:Stopped", "Warmed:Running", "Warmed:Hibernated"])
def test_on_the_way_out_a_hook_can_wait(state: str) -> None:
    """Out of the group, and into its warm pool."""
    assert reason_to_leave(Notices(state), rebalance_drains=False) == Leaving(
        "lifecycle", state, None, hook_state=state
    )


@pytest.mark.parametrize("state", ["Standby", "Detached"])
def test_aside_no_hook_waits(state: str) -> None:
    """Auto Scaling has none for it."""
    assert reason_to_leave(Notices(state), rebalance_drains=False) == Leaving("lifecycle", state)


def test_a_spot_notice_comes_first_and_brings_its_deadline() -> None:
    """Beside a scale-in the hook still waits."""
    notices = Notices("Terminated", SPOT_NOTICE, Rebalance(NOON))

    assert reason_to_leave(notices, rebalance_drains=True) == Leaving("spot", "terminate", NOON, "Terminated")
    in_service = notices._replace(lifecycle_state="InService")
    assert reason_to_leave(in_service, rebalance_drains=True) == Leaving("spot", "terminate", NOON)


def test_a_recommendation_is_a_reason_where_the_settings_say_so() -> None:
    """By default it is none."""
    notices = Notices("InService", None, Rebalance(NOON))

    assert reason_to_leave(notices, rebalance_drains=False) is None
    assert reason_to_leave(notices, rebalance_drains=True) == Leaving(
        "rebalance", "2026-11-22T12:00:00+00:00"
    )
