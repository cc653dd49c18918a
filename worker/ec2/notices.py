"""What the metadata tell of the machine's future, and whether that is a reason to leave."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal, NamedTuple

import msgspec

from worker.ec2.metadata import Metadata, MetadataUnavailable

LIFECYCLE_PATH: Final = "autoscaling/target-lifecycle-state"
SPOT_PATH: Final = "spot/instance-action"
REBALANCE_PATH: Final = "events/recommendations/rebalance"

TERMINATED: Final = "Terminated"
WARM: Final = "Warmed:"
ASIDE: Final = frozenset({"Standby", "Detached"})


class SpotNotice(msgspec.Struct, frozen=True):
    """EC2 takes the machine back: `action` is terminate, stop or hibernate, at `time` or soon after."""

    action: str
    time: datetime


class Rebalance(msgspec.Struct, frozen=True, rename="camel"):
    """EC2 may take the machine back soon: said at `notice_time`."""

    notice_time: datetime


class Notices(NamedTuple):
    """All three; None where there is nothing to tell. `lifecycle_state` is the one that the group aims at."""

    lifecycle_state: str | None = None
    spot: SpotNotice | None = None
    rebalance: Rebalance | None = None


VALUES: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "lifecycle_state": (LIFECYCLE_PATH, str),
    "spot": (SPOT_PATH, partial(msgspec.json.decode, type=SpotNotice)),
    "rebalance": (REBALANCE_PATH, partial(msgspec.json.decode, type=Rebalance)),
}
"""Where each of the `Notices` is read, and how it is understood."""


class Leaving(NamedTuple):
    """Why the machine's workers have to stop, by when, and for which target state a hook may wait for it."""

    reason: Literal["lifecycle", "spot", "rebalance"]
    detail: str
    deadline: datetime | None = None
    hook_state: str | None = None


class Outlook:
    """The notices as they were last read: what cannot be read keeps its last value."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self.notices = Notices()

    def look(self) -> MetadataUnavailable | None:
        """Read all three anew; what kept one of them from being read, None when nothing did.

        `notices` change in one step, so that another thread may read them at any time.
        """
        read: dict[str, Any] = {}
        faults: list[MetadataUnavailable] = []
        for name, (path, understood) in VALUES.items():
            try:
                text = self._metadata.get(path)
                read[name] = None if text is None else understood(text)
            except MetadataUnavailable as error:
                faults.append(error)
            except msgspec.MsgspecError as error:
                faults.append(MetadataUnavailable(f"{path} cannot be understood ({error})"))
        self.notices = self.notices._replace(**read)
        return faults[0] if faults else None


def reason_to_leave(notices: Notices, *, rebalance_drains: bool) -> Leaving | None:
    """Why the workers have to stop now, the most urgent reason first; None: they may work.

    They work while the group wants the machine in service, and where there is no group.
    """
    hook_state = _hook_state(notices.lifecycle_state)
    if notices.spot is not None:
        return Leaving("spot", notices.spot.action, _in_utc(notices.spot.time), hook_state)
    state = notices.lifecycle_state
    if state is not None and (hook_state is not None or state in ASIDE):
        return Leaving("lifecycle", state, None, hook_state)
    if rebalance_drains and notices.rebalance is not None:
        return Leaving("rebalance", _in_utc(notices.rebalance.notice_time).isoformat())
    return None


def _hook_state(state: str | None) -> str | None:
    """The state, if a hook for leaving instances can wait before it: also on the way to a warm pool."""
    return state if state == TERMINATED or (state or "").startswith(WARM) else None


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
