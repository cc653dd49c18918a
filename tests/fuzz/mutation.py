"""Bends what is there: texts by their characters and tokens, JSON by its members, cases by their texts."""

import json
from collections.abc import Iterator
from typing import Any, Final

from tests.fuzz.tape import Tape
from tests.fuzz.target import Case
from tests.support.wire import WRONG_VALUES

CHANGES_MAXIMUM: Final = 3
SPAN_MAXIMUM: Final = 40
TEXT_MAXIMUM: Final = 20_000
"""Longer ones are not made longer: a few changes each would else double what there is again and again."""


def nested(levels: int, inner: Any = 1) -> Any:
    """Lists in lists, and every other one an object."""
    for level in range(levels):
        inner = [inner] if level % 2 else {"a": inner}
    return inner


def copied(document: Any) -> Any:
    """A copy, by way of JSON: `deepcopy` takes more of the stack than what is nested deep leaves."""
    return json.loads(json.dumps(document))


TOKENS: Final = [
    *(
        '"',
        "\\",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "'",
        "=",
        "#",
        ";",
        "\t",
        " ",
        "\r",
        "\n",
        "\r\n",
        "\n\n",
        "\0",
    ),
    *("\x02", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff", "\ufffe", "\U0001f4a5", "é", "٣"),
    *("\ud800", "\udcff", r"\ud800", r"\u0000", r"\udc00\ud800", "\\u202e", '"\\', "//", "/*", "<!--", "%s"),
    *("0", "-0", "00", "1.", "1e999", "-1e-999", "0x10", "NaN", "Infinity", "9" * 25, "9" * 400, "9" * 5000),
    *(
        "0.1000000000000000055511151231257827",
        "1e" + "9" * 40,
        "null",
        "true",
        "None",
        "nan",
        "0" * 400 + "1",
    ),
    *('"job_id":"job-2",', '"job_id":null,', '"customers":[],', '"":0,', ',"run":2', '"payload":', "{0}"),
    *("[" * 60, '{"a":' * 120, "[" * 3000, '{"a":' * 3000, "x" * 300, "a." * 200, "{" + "[" * 1200),
    *("O:8:", 'a:1:{i:0;s:1:"x";}', "\x1f\x8b", "=1+1", "@SUM(A1)", "../", "s3://", "file:///etc/passwd"),
]

VALUES: Final = [
    *WRONG_VALUES,
    *(-1, 2**31 - 1, 2**53 + 1, 2**64, 10**30, 10**400, 1e308, 5e-324, -0.0, 0.1 + 0.2),
    *("\0", "\ud800", "\u202e", "9" * 30, "x" * 2000, "App\\Message\\ImportJob", "9999-12-31T23:59:59-23:59"),
    *("0001-01-01T00:00:00+23:59", "2026-11-21T12:00:60Z", "acme/lines.csv", "credential:x", "orders.insert"),
    *(nested(50), nested(99), nested(101), nested(200), [[]] * 200, {"": {"": None}}, {"\ud800": 1}),
    *(dict.fromkeys(map(str, range(200)), 0), [f"c-{number}" for number in range(300)], ["c-1", "c-1"]),
    *(["c-1", {}], {"a": 10**30}),
]


def bent_text(tape: Tape, text: str) -> str:
    """The text with up to three places changed: a token put in, a span left out, doubled or replaced."""
    for _ in range(1 + tape.number(CHANGES_MAXIMUM)):
        begin = tape.number(min(len(text), 2**16 - 1) + 1)
        end = min(len(text), begin + tape.number(SPAN_MAXIMUM))
        token = tape.pick(["", *TOKENS, tape.text(4)])
        pieces = (
            [token, ""]
            if len(text) > TEXT_MAXIMUM
            else [token, token + text[begin:end], "", text[begin:end] * 2]
        )
        text = text[:begin] + tape.pick(pieces) + text[end:]
    return text


def bent_json(tape: Tape, document: Any) -> Any:
    """The document with up to three of its values replaced, left out, wrapped, or put in once more."""
    document = copied(document)
    for _ in range(1 + tape.number(CHANGES_MAXIMUM)):
        places = list(_places(document))
        if places:
            _bend(tape, *tape.pick(places))
    return document


def _bend(tape: Tape, container: Any, key: Any) -> None:
    value = container[key]
    match tape.number(6):
        case 0 | 1:
            container[key] = copied(tape.pick(VALUES))
        case 2:
            container[key] = tape.json()
        case 3:
            del container[key]
        case 4:
            container[key] = nested(tape.pick([1, 2, 60, 100]), value)
        case _ if isinstance(container, list):
            container.append(copied(value))
        case _:
            container[tape.pick([f"{key} ", key.upper(), f"{key}_2", "payload", "type", ""])] = copied(value)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every member of every object and list: the container and the key in it."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, member in members:
        yield value, key
        if isinstance(member, dict | list):
            yield from _places(member)


def bent_case(tape: Tape, kept: list[Case]) -> Case:
    """A case of the corpus, one or two of its texts bent: as JSON where it is JSON, or as text."""
    case: Case = copied(tape.pick(kept))
    texts = [(place, key) for place, key in _places(case) if isinstance(place[key], str)]
    for _ in range(1 + tape.number(2)):
        container, key = tape.pick(texts)
        container[key] = _bent(tape, container[key])
    return case


def bent_json_text(tape: Tape, document: Any) -> str:
    """The document as JSON, escaped or not; seldom bent as text too."""
    text = json.dumps(document, ensure_ascii=not tape.once_in(2))
    return bent_text(tape, text) if tape.once_in(5) else text


def _bent(tape: Tape, text: str) -> str:
    document = _document(text)
    if document is None or tape.once_in(3):
        return bent_text(tape, text)
    return bent_json_text(tape, bent_json(tape, document))


def _document(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None
