"""What becomes of a message that cannot be handled: now, so that it comes again, or at all."""

from datetime import timedelta

from config.settings import Settings
from worker.answers import rejected
from worker.backoff import half_jitter
from worker.clock import Clock
from worker.conclusion import Answer, Bury, Conclusion, Deferral, Reason, Return
from worker.defects import Defects
from worker.envelope import Identity
from worker.held import Held
from worker.refusal import Refuse


class Unhandled:
    """Concludes messages that were not taken in; thread-safe."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._defects = Defects()

    def apply(self, settings: Settings) -> None:
        """Go by these settings from now on."""
        self._settings = settings

    def taken_in(self, held: Held) -> None:
        """The message could be taken in: what failed before has passed."""
        self._defects.forget(held)

    def later(self, held: Held, code: str) -> Return:
        """It comes again, ever more rarely; at once where the worker stops."""
        if code == "shutdown":
            return Return(timedelta(), code)
        deferral = self._settings.deferral
        receives = held.delivery.receive_count
        delay = half_jitter(receives, deferral.busy_delay, deferral.away_max_delay, self._clock.random())
        return Return(delay, code)

    def set_apart(self) -> Return:
        """It comes again by itself, apart from what it came with so often."""
        deferral = self._settings.deferral
        delay = half_jitter(1, deferral.busy_delay, deferral.busy_max_delay, self._clock.random())
        return Return(delay, "set_apart")

    def unasked(self, held: Held, identity: Identity, deferral: Deferral) -> Conclusion:
        """Its inbox could not be asked: it waits as long as the lane says."""
        if deferral.code == "internal_error":
            return self.after_defect(held, identity)
        return Return(deferral.after, deferral.code)

    def after_defect(self, held: Held, identity: Identity | None) -> Conclusion:
        """This code cannot handle it: it is tried again some times, then kept aside.

        It is rejected where it is known who asks; a final result of the same run takes the place of that.
        """
        if not self._defects.is_last(held):
            return self.later(held, "internal_error")
        refusal = Refuse("internal_error", "The worker failed at this message again and again; see its log.")
        if identity is None:
            return Bury(Reason(refusal.code, str(refusal)))
        return self.rejected(identity, held, refusal)

    def rejected(self, identity: Identity, held: Held, refusal: Refuse) -> Answer:
        """It is refused, and its sender is told."""
        return rejected(identity, refusal.code, str(refusal), held.received_at, self._clock.now())
