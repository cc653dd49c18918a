"""Middleware: whatever a link makes of a part, what is reported is what is stored."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from handlers import Middleware, Next, Outcome, PartContext, PartEnvelope, Reject, Retry
from tests.support.careless_links import FORGED, hiding
from tests.support.core import Site, insert_order
from tests.support.executing import code_of, locked, part_of, raising, run
from tests.support.jobs import inbox_rows, orders
from worker.conclusion import Deferral
from worker.middleware import PassageOver
from worker.reports import Away, Ended

Written = list[dict[str, Any]]

ELSEWHERE_AWAY = OperationalError("SELECT 1", {}, sqlite3.OperationalError("unable to open"))


@pytest.fixture(name="lines", autouse=True)
def caught_lines() -> Iterator[Written]:
    """What is logged, which is not printed."""
    with capture_logs() as lines:
        yield lines  # type: ignore[misc]  # structlog's own type of a line


def failures_of(lines: Written) -> list[tuple[str, str]]:
    """The lines about middleware: whose, and what happened."""
    return [(line["middleware"], line["msg"]) for line in lines if line["event"] == "part.middleware_failed"]


def going_on(after: Callable[[Outcome], Any]) -> Middleware:
    """A link that goes on, and then does this with the outcome."""

    def link(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
        return after(next(envelope))  # type: ignore[no-any-return]  # that is what is tested

    return link


def throwing(error: BaseException) -> Middleware:
    """A link that goes on, and then raises."""

    def after(_: Outcome) -> Outcome:
        raise error

    return going_on(after)


class TestAfterTheCommit:
    @pytest.mark.parametrize("error", [LookupError(), Reject("own_code", "No."), Retry(), SystemExit(1)])
    def test_what_a_link_raises_changes_nothing(
        self, tmp_path: Path, error: BaseException, lines: Written
    ) -> None:
        """The part is done and must not be reported as failed; somebody is told of the link."""
        site = Site(tmp_path, [throwing(error)])
        report = run(site)

        assert isinstance(report, Ended)
        assert (report.outcome.state, orders(tmp_path)) == ("succeeded", [1])
        assert failures_of(lines) == [
            (
                "tests.unit.test_middleware.going_on.<locals>.link",
                "It raised when the part had its outcome, which stands.",
            )
        ]

    @pytest.mark.parametrize("returned", [None, "done", 0, FORGED, replace(FORGED, state="failed")])
    def test_what_a_link_returns_changes_nothing(self, tmp_path: Path, returned: Any, lines: Written) -> None:
        """Nor is it an error: a link that forgets to return the outcome works as well."""
        report = run(Site(tmp_path, [going_on(lambda _: returned)]))

        assert isinstance(report, Ended)
        assert report.outcome.body == inbox_rows(tmp_path)[0]["outcome"]
        assert failures_of(lines) == []

    def test_the_links_around_it_get_the_outcome_that_is_stored(self, tmp_path: Path) -> None:
        """Whatever the links inside made of it."""
        seen: list[Outcome] = []

        def look(outcome: Outcome) -> Outcome:
            seen.append(outcome)
            return outcome

        site = Site(tmp_path, [going_on(look), going_on(lambda _: None), throwing(LookupError())])
        report = run(site)

        assert [Ended(outcome) for outcome in seen] == [report]

    def test_going_on_again_gives_the_same_outcome_and_does_nothing(self, tmp_path: Path) -> None:
        """The handler is called once."""
        calls: list[str] = []

        def twice(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
            assert next(envelope) is next(envelope)
            return next(envelope)

        def handler(payload: Any, context: PartContext) -> Any:
            calls.append(context.customer_id)
            return insert_order(payload, context)

        assert isinstance(run(Site(tmp_path, [twice, twice]), handler), Ended)
        assert calls == ["c-1"]

    def test_going_on_when_the_turn_is_over_does_nothing(self, tmp_path: Path) -> None:
        """A link that keeps `next` cannot run the part behind the worker's back."""
        kept: list[tuple[PartEnvelope, Next]] = []

        def keep(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
            kept.append((envelope, next))
            raise Retry

        assert isinstance(run(Site(tmp_path, [keep])), Deferral)
        ((envelope, go_on),) = kept
        with pytest.raises(PassageOver):
            go_on(envelope)
        assert orders(tmp_path) == []

    def test_going_on_on_another_thread_does_nothing(self, tmp_path: Path) -> None:
        """No time limit would end a handler there, and the link could leave it behind."""

        def elsewhere(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(next, envelope).result()

        report = run(Site(tmp_path, [elsewhere]))
        assert isinstance(report, Deferral)
        assert report.attempt == 1
        assert orders(tmp_path) == []


class TestWithoutAnOutcome:
    def test_a_link_that_neither_goes_on_nor_raises_is_a_defect(self, tmp_path: Path, lines: Written) -> None:
        """Nothing was done, so nothing can be reported as done: counted, at last failed and dead-lettered."""
        site = Site(tmp_path, [lambda _envelope, _next: FORGED])
        reports = [run(site), run(site), run(site)]

        assert [getattr(report, "code", None) for report in reports] == ["part_not_run", "part_not_run", None]
        assert code_of(reports[-1]) == "part_not_run"
        (row,) = inbox_rows(tmp_path)
        assert (row["state"], row["dead_letter"], orders(tmp_path)) == ("failed", 1, [])
        assert {text for _, text in failures_of(lines)} == {
            "It returned without calling `next` and without raising: an attempt is counted."
        }

    def test_a_link_that_hides_the_handler_s_error_hides_nothing(self, tmp_path: Path) -> None:
        """What was rolled back is not reported as done."""

        def hide(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
            try:
                return next(envelope)
            except Reject:
                return FORGED

        report = run(Site(tmp_path, [hide]), raising(Reject("own_code", "No.")))

        assert code_of(report) == "own_code"
        assert orders(tmp_path) == []

    def test_a_link_that_hides_the_error_of_another_link_hides_nothing(self, tmp_path: Path) -> None:
        """Whoever refuses a part is heard, whatever stands around."""

        def refuse(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002, ARG001 - as above
            raise Reject("own_code", "No.")

        assert code_of(run(Site(tmp_path, [hiding, refuse]))) == "own_code"
        assert orders(tmp_path) == []

    def test_a_link_may_put_an_error_of_its_own_in_the_handler_s_place(self, tmp_path: Path) -> None:
        """As where errors of a library are all one code."""

        def translate(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
            try:
                return next(envelope)
            except LookupError as error:
                raise Reject("not_found", "There is none.") from error

        assert code_of(run(Site(tmp_path, [translate]), raising(LookupError()))) == "not_found"

    def test_a_link_may_go_on_again_after_the_handler_failed(self, tmp_path: Path) -> None:
        """In a transaction of its own: what the first try wrote is gone."""
        tries: list[int] = []

        def again(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
            try:
                return next(envelope)
            except LookupError:
                return next(envelope)

        def handler(payload: Any, context: PartContext) -> Any:
            insert_order(payload, context)
            tries.append(1)
            if len(tries) == 1:
                raise LookupError

        assert isinstance(run(Site(tmp_path, [again]), handler), Ended)
        assert orders(tmp_path) == [1]

    def test_a_part_that_is_in_other_hands_waits_whatever_a_link_makes_of_it(self, tmp_path: Path) -> None:
        """No link can answer for the shard: neither hide nor replace nor repeat what it said."""
        calls: list[str] = []

        def fail(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
            for _ in range(2):
                try:
                    next(envelope)
                except Exception as error:  # noqa: BLE001 - as careless links do
                    calls.append(type(error).__name__)
            raise Reject("own_code", "No.")

        site = Site(tmp_path, [fail])
        with locked(site):
            report = run(site)

        assert isinstance(report, Deferral)
        assert (report.code, calls) == ("busy", ["OperationalError", "OperationalError"])
        assert inbox_rows(tmp_path) == []

    def test_a_shard_that_is_away_is_away_whatever_a_link_makes_of_it(self, tmp_path: Path) -> None:
        """Its lane has to know."""
        site = Site(tmp_path, [hiding])
        part = part_of(site)
        site.lose_shard("eu1")

        assert site.executor.run(part) == Away()

    def test_another_database_that_is_away_is_the_link_s_own_affair(self, tmp_path: Path) -> None:
        """The customer's shard answered, so that its lane goes on and an attempt is counted."""

        def ask_elsewhere(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002, ARG001 - as above
            raise ELSEWHERE_AWAY

        report = run(Site(tmp_path, [ask_elsewhere]))

        assert isinstance(report, Deferral)
        assert (report.code, report.attempt) == ("handler_error", 1)
