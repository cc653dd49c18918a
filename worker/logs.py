"""The log: structlog set up once at the process's start, a handler's own logger, and libraries' warnings."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict

from config.settings import Logging
from worker.log_lines import clean, flatten_exception, in_order, is_secret, to_json, to_text
from worker.log_writer import Lines, LinesAtOnce, written_behind

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
# They call each connection an error that a restarted database ended; the shard's own lines tell what follows.
POOLS: Final = ("sqlalchemy.pool", "shards.connection_pool")


def configure_logging(settings: Logging, stream: TextIO) -> None:
    """Send every line of this process to `stream`; a second call replaces the first.

    JSON lines, or people's form where the settings or a terminal ask for it. Libraries' own lines come
    through from `warning` up. Writing a line never raises: a stream that is gone takes no more lines.
    """
    _configure(settings, LinesAtOnce(stream), _renderer(settings, stream))


@contextmanager
def logging_behind(settings: Logging, stream: TextIO) -> Iterator[None]:
    """As `configure_logging`, while inside; no thread of the process ever waits for the stream."""
    renderer = _renderer(settings, stream)

    def dropped(lines: int) -> str:
        return renderer(None, "", {"level": "warning", "event": "log.dropped", "lines": lines})

    with written_behind(stream, dropped) as lines:
        _configure(settings, lines, renderer)
        yield


def set_level(level: str) -> None:
    """Write lines from this level up from now on, one of `LEVELS`."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]))


def _renderer(settings: Logging, stream: TextIO) -> "_Renderer":
    as_text = settings.format == "text" or (settings.format == "auto" and stream.isatty())
    return _Renderer(as_text=as_text, colours=as_text and stream.isatty())


def _configure(settings: Logging, lines: Lines, renderer: "_Renderer") -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.level]),
        logger_factory=_Logger(lines),
        cache_logger_on_first_use=False,
    )
    _route_libraries()


class HandlerLogger:
    """The log as a handler sees it: each line is a `handler.log`, the fields stand under `data`.

    `bound` (job and customer) stands on each line beside `event`, from whichever thread it is written.
    Fields named like secrets are not written; nor should the message hold a value of the payload.
    """

    def __init__(self, bound: Mapping[str, str], data: Mapping[str, Any] | None = None) -> None:
        self._bound = dict(bound)
        self._data = dict(data or {})

    def bind(self, **data: Any) -> "HandlerLogger":
        """A logger whose lines carry these fields as well."""
        return HandlerLogger(self._bound, {**self._data, **data})

    def debug(self, message: str, /, **data: Any) -> None:
        """Write a line that only `level = "debug"` shows."""
        self._write(logging.DEBUG, message, data)

    def info(self, message: str, /, **data: Any) -> None:
        """Write a line about the normal course of things."""
        self._write(logging.INFO, message, data)

    def warning(self, message: str, /, **data: Any) -> None:
        """Write a line about something that an operator may want to look at."""
        self._write(logging.WARNING, message, data)

    def error(self, message: str, /, **data: Any) -> None:
        """Write a line about something that went wrong. It does not make the part fail."""
        self._write(logging.ERROR, message, data)

    def _write(self, level: int, message: str, data: Mapping[str, Any]) -> None:
        fields: dict[str, Any] = {**self._bound, "msg": message}
        own = {**self._data, **data}
        error = own.pop("exc_info", None)
        if own:
            fields["data"] = own
        structlog.get_logger().log(level, "handler.log", **fields, exc_info=error)


def handler_logger(**bound: str) -> HandlerLogger:
    """A logger for one handler call: `handler_logger(job=..., customer=...)`."""
    return HandlerLogger(bound)


class _Renderer:
    """The last processor: the fields as the line to write; a short one about itself where that fails."""

    def __init__(self, *, as_text: bool, colours: bool) -> None:
        self._as_text = as_text
        self._colours = colours

    def __call__(self, _logger: Any, _method: str, fields: EventDict) -> str:
        try:
            return self._render(fields)
        except Exception as error:  # noqa: BLE001  # a field can be anything; the caller must not fail
            event = str(fields.get("event"))
            return self._render({"event": "log.failed", "level": "error", "of": event, "exc_info": error})

    def _render(self, fields: Mapping[str, Any]) -> str:
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        cleaned = {
            name: clean(value) for name, value in flatten_exception(fields).items() if not is_secret(name)
        }
        line = in_order({"ts": moment, **cleaned})
        return to_text(line, colours=self._colours) if self._as_text else to_json(line)


class _Logger:
    """structlog's logger and the factory of it: hands whole lines on."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def __call__(self, *_: Any) -> "_Logger":
        return self

    def msg(self, line: str) -> None:
        self._lines.put(line)

    debug = info = warning = error = critical = exception = msg


class LibraryHandler(logging.Handler):
    """The standard library's logging, routed into ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as a `library.log`."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        error = record.exc_info[1] if record.exc_info else None
        highest = logging.WARNING if record.name.startswith(POOLS) else logging.ERROR
        level = min(record.levelno, highest)
        structlog.get_logger().log(level, "library.log", library=record.name, msg=message, exc_info=error)


def _route_libraries() -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, LibraryHandler)]:
        root.removeHandler(handler)
    root.addHandler(LibraryHandler(logging.WARNING))
    root.setLevel(logging.WARNING)
    # It warns of each pipeline that an error ended, and the error itself is told by whoever caught it.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
