"""One run of parts that share a transaction: their handlers by turns, and what is learned from it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from config.settings import Settings
from shards.engines import Shards
from shards.failures import Kind
from shards.guard import PartConnection
from shards.inbox import Outcome
from shards.lending import lent
from shards.shared_parts import Apart, Member, run_together
from worker.clock import Clock
from worker.failures import failure_of
from worker.handler_call import HandlerCall, shard_name
from worker.job_in_hand import Part
from worker.sharing import Sharing

PARTS_MINIMUM: Final = 2

Begins = Callable[[Part], None]
"""Is told of a part just before its handler is called."""


class Together(NamedTuple):
    """What parts that were run together came to: the outcomes, or none, for which the culprit is to blame."""

    outcomes: Mapping[Part, Outcome]
    culprit: Part | None = None


class SharedRun:
    """Runs parts together, if they go together."""

    def __init__(
        self, shards: Shards, settings: Settings, handler_call: HandlerCall, sharing: Sharing, clock: Clock
    ) -> None:
        self._shards = shards
        self._check_placement = settings.directory.placement_rows
        self._handler_call = handler_call
        self._sharing = sharing
        self._clock = clock

    def run(self, parts: Sequence[Part], begins: Begins) -> Together:
        """The outcomes; empty where the parts must be run alone. Never raises.

        A part whose payload cannot be decoded is left out: its failure is recorded when it is run alone.
        """
        decoded = [(part, payload) for part in parts for payload in _decoded(part)]
        if len(decoded) < PARTS_MINIMUM:
            return Together({})
        by_identity = {part.identity: part for part, _ in decoded}
        members = [self._member(part, payload, begins) for part, payload in decoded]
        started = self._clock.monotonic()
        try:
            outcomes = run_together(
                self._shards.get(shard_name(parts[0])),
                members,
                lambda: self._clock.now().timestamp(),
                check_placement=self._check_placement,
            )
        except Apart as apart:
            culprit = None if apart.culprit is None else by_identity[apart.culprit]
            self._note_apart(list(by_identity.values()), culprit, apart.__cause__)
            return Together({}, culprit)
        self._sharing.note_shared(list(by_identity.values()), self._clock.monotonic() - started)
        return Together({by_identity[identity]: outcome for identity, outcome in outcomes.items()})

    def _note_apart(self, parts: Sequence[Part], culprit: Part | None, error: BaseException | None) -> None:
        dialect = self._shards.get(shard_name(parts[0])).dialect
        # a shard that went away is no fault of the part whose turn it was, nor of its type
        is_away = error is not None and failure_of(error, dialect).kind is Kind.AWAY
        self._sharing.note_apart(parts, None if is_away else culprit, error)

    def _member(self, part: Part, payload: Any, begins: Begins) -> Member:
        assert part.placement is not None  # noqa: S101 - parts without a placement never reach a lane
        return Member(part.identity, part.placement, partial(self._work, part, payload, begins))

    def _work(self, part: Part, payload: Any, begins: Begins, connection: PartConnection) -> bytes:
        begins(part)
        return self._handler_call.call(part, connection, payload, lent(connection))


def _decoded(part: Part) -> list[Any]:
    handler = part.owner.handler
    assert handler is not None  # noqa: S101 - a job without a handler has only refused parts
    try:
        return [handler.decode(part.request.payload)]
    except BaseException:  # noqa: BLE001 - a model may raise anything; it is raised again where it is recorded
        return []
