"""Who ends a turn: the thread that runs it, or another one in its place."""

import threading


class TurnEnd:
    """The first thread that asks is the one that ends the turn; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended_by: int | None = None

    def begin(self) -> None:
        """Another turn: nobody has asked yet."""
        self._ended_by = None

    def is_mine(self) -> bool:
        """Whether the calling thread is the first that wants to end the turn; also when it asks again."""
        thread = threading.get_ident()
        with self._lock:
            if self._ended_by is None:
                self._ended_by = thread
            return self._ended_by == thread
