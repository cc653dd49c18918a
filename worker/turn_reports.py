"""What a part's turn on a worker thread comes to, by the error that ended it: a report, or a failure."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog

from config.settings import Settings
from shards.engines import Shards
from shards.failures import Failure, Kind
from shards.inbox import ContentConflict, InboxFault, PlacementStale, Superseded
from shards.parts import StartedBefore
from worker.backoff import half_jitter
from worker.clock import Clock
from worker.conclusion import Deferral
from worker.failures import failure_of, log_unexpected
from worker.handler_call import names_of, shard_name
from worker.job_in_hand import Part, shutdown_deferral
from worker.reports import Away, Report

PLACEMENT_STALE_DELAY: Final = timedelta(seconds=1)

log = structlog.get_logger()


class TurnReports:
    """Reads errors; `forget` tells the directory of customers that are elsewhere."""

    def __init__(
        self, shards: Shards, settings: Settings, clock: Clock, forget: Callable[[Sequence[str]], None]
    ) -> None:
        self._shards = shards
        self._settings = settings
        self._clock = clock
        self._forget = forget

    def apply(self, settings: Settings) -> None:
        """Go by these settings from now on."""
        self._settings = settings

    def of(self, part: Part, action: Callable[[], Report]) -> Report | StartedBefore | Failure:
        """The action's report, or what the error means that it raised; never raises.

        A failure is what somebody has to be told, or to try again: it is neither busy nor away.
        """
        try:
            return action()
        except (ContentConflict, Superseded, StartedBefore) as verdict:
            return verdict
        except PlacementStale as stale:
            return self._stale(part, stale)
        except InboxFault as fault:
            log.error("inbox.fault", **names_of(part), error_code="shard_away", msg=str(fault))
            return Away()
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything, sys.exit() too
            failure = failure_of(error, self._shards.get(shard_name(part)).dialect)
            log_unexpected(error, failure, names_of(part))
            return self._wait(part, failure)

    def busy(self, part: Part, code: str) -> Deferral:
        """Look again soon, but ever more rarely: somebody may hold the part for an hour."""
        base, maximum = self._settings.deferral.busy_delay, self._settings.deferral.busy_max_delay
        receives = part.owner.held[0].delivery.receive_count
        return Deferral(half_jitter(receives, base, maximum, self._clock.random()), code)

    def _stale(self, part: Part, stale: PlacementStale) -> Deferral:
        """Let the message come back soon, to be routed anew: nothing was written, nothing is counted."""
        self._forget([part.request.customer_id])
        log.warning("placement.stale", **names_of(part), msg=str(stale))
        delay = half_jitter(1, PLACEMENT_STALE_DELAY, PLACEMENT_STALE_DELAY, self._clock.random())
        return Deferral(delay, "placement_stale")

    def _wait(self, part: Part, failure: Failure) -> Report | Failure:
        match failure.kind:
            case Kind.AWAY:
                log.warning(
                    "shard.unanswered", **names_of(part), error_code=failure.code, msg=failure.message
                )
                return Away()
            case Kind.BUSY if failure.code == "shutdown":
                return shutdown_deferral()
            case Kind.BUSY | Kind.OUTSIDE:
                return self.busy(part, failure.code)
            case _:
                return failure
