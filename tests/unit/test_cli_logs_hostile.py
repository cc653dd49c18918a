"""`shardworker logs`: lines that are JSON, and made to end the command, or by a program with a defect."""

import json
from datetime import timedelta

import pytest

from worker.cli.logs_filters import Filters
from worker.cli.logs_lines import Painter
from worker.cli.logs_reader import NESTING_MAXIMUM, LogReader

DIGITS = b"9" * 400
START = (
    b'{"ts":"2026-11-22T00:00:00.000Z","level":"info","event":"job.done","outcome":"failed","shard":"eu1",'
)
DEPTHS = [*range(NESTING_MAXIMUM - 3, NESTING_MAXIMUM + 3), *range(850, 1050, 3), 5000]


def shown(reader: LogReader, field: bytes) -> str:
    """What is shown of a line with the field, once the summary could be made too."""
    lines = list(reader.shown(START + field + b"}"))
    titles(reader)
    return b"\n".join(lines).decode()


def titles(reader: LogReader) -> list[str]:
    return [title for title, _, _ in reader.summary.tables()]


@pytest.fixture
def reader() -> LogReader:
    return LogReader(Filters({}), Painter(colours=False, full=True), as_json=False, is_quiet=False)


@pytest.mark.parametrize("sign", [b"", b"-"])
@pytest.mark.parametrize("name", ["total_ms", "took_ms", "queue_wait_ms"])
def test_a_number_that_is_no_duration_is_shown_as_it_is(reader: LogReader, name: str, sign: bytes) -> None:
    """400 digits are valid JSON, and more than a float takes. The line counts, the figure does not."""
    line = shown(reader, f'"{name}":'.encode() + sign + DIGITS)

    assert f"{name.removesuffix('_ms')}={(sign + DIGITS).decode()}" in line
    assert (reader.summary.count, reader.summary.foreign) == (1, 0)
    assert "Durations" not in titles(reader)


def test_the_largest_float_is_no_duration_either(reader: LogReader) -> None:
    """A percentile of it would be beyond a float."""
    assert "total=1.79e+308" in shown(reader, b'"total_ms":1.79e308')


def test_nothing_is_as_slow_as_400_digits_say() -> None:
    """`--slow` is for durations."""
    slow = Filters({}, slow=timedelta(0))
    reader = LogReader(slow, Painter(colours=False, full=True), as_json=False, is_quiet=False)

    assert not shown(reader, b'"total_ms":' + DIGITS)
    assert shown(reader, b'"total_ms":1')


@pytest.mark.parametrize("field", ["data", "job", "ts", "outcome", "msg", "stack", "error_code", "x"])
def test_a_line_that_is_nested_too_deeply_is_none_of_the_worker_s(reader: LogReader, field: str) -> None:
    """In whichever field: it is passed through as it came."""
    for depth in DEPTHS:
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            nested = f'"{field}":'.encode() + opening * depth + b"1" + closing * depth
            line = shown(reader, nested)
            assert (line == (START + nested + b"}").decode()) == (depth >= NESTING_MAXIMUM), depth


def test_many_brackets_are_not_deep(reader: LogReader) -> None:
    """A long list of lists is a handler's right, and brackets in a text are none."""
    many = json.dumps({"a": [[]] * NESTING_MAXIMUM, "b": "[{" * NESTING_MAXIMUM})

    assert "data.a=[[],[]" in shown(reader, f'"data":{many}'.encode())
    assert reader.summary.foreign == 0
