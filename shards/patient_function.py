"""Calls a function of the company's own with patience that ends: a thread that is slow is given up."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from queue import SimpleQueue
from typing import Any, Final

THREADS_MAXIMUM: Final = 8
"""Calls that are under way at once, those that were given up among them."""

Function = Callable[[list[str]], Any]
Question = tuple[Future[Any], list[str]]
Questions = SimpleQueue[Question | None]


class NoAnswer(Exception):
    """The function did not come back in time; the message says how often, and is a sentence for operators."""


class PatientFunction:
    """A function that is waited for no longer than `patience_seconds`. Safe to use from several threads.

    It runs on threads of its own, called `name`, one after the other on the same as long as it comes back: a
    function may keep a connection for each thread. A thread that is given up serves again when it comes
    back. While too many do not, the function is not called.
    """

    def __init__(self, function: Function, patience_seconds: float, name: str) -> None:
        self._function = function
        self._patience_seconds = patience_seconds
        self._name = name
        self._lock = threading.Lock()
        self._idle: list[Questions] = []
        self._busy = 0

    def __call__(self, keys: list[str]) -> Any:
        """What the function returns; raises `NoAnswer`, or what the function raises."""
        answer: Future[Any] = Future()
        self._thread().put((answer, keys))
        wait_for([answer], self._patience_seconds)
        if not answer.done():
            raise NoAnswer(f"did not come back within {self._patience_seconds:g} seconds.")
        return answer.result()

    def close(self) -> None:
        """Let the threads end that wait for questions."""
        with self._lock:
            idle, self._idle = self._idle, []
        for questions in idle:
            questions.put(None)

    def _thread(self) -> Questions:
        """Where a free thread takes its questions from."""
        with self._lock:
            if self._busy >= THREADS_MAXIMUM:
                raise NoAnswer(
                    f"is not called any more until one of {self._busy} calls of it comes back. If none ever "
                    "does, restart the worker."
                )
            self._busy += 1
            if self._idle:
                return self._idle.pop()
        questions: Questions = SimpleQueue()
        threading.Thread(target=self._run, args=(questions,), name=self._name, daemon=True).start()
        return questions

    def _run(self, questions: Questions) -> None:
        while (question := questions.get()) is not None:
            answer, keys = question
            try:
                told = self._function(keys)
            except BaseException as error:  # noqa: BLE001 - it is raised where the question came from
                self._note_idle(questions)
                answer.set_exception(error)
            else:
                self._note_idle(questions)
                answer.set_result(told)

    def _note_idle(self, questions: Questions) -> None:
        """Before the answer is told: who asks again at once is to get the same thread."""
        with self._lock:
            self._busy -= 1
            self._idle.append(questions)
