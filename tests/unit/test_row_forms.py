"""How files of rows are written, as the configuration says it: what cannot be is refused at the start."""

from typing import Any

import pytest
from pydantic import ValidationError

from config.settings import InsertHandler

RIGHT: dict[str, Any] = {
    "encoding": "cp1252",
    "separator": "\t",
    "date_form": "%d.%m.%Y",
    "datetime_form": "%d.%m.%y %H:%M",
}


def test_what_can_be_is_taken() -> None:
    """Names and forms are those of Python."""
    section = InsertHandler(type="t", table="t", **RIGHT)

    assert {name: getattr(section, name) for name in RIGHT} == RIGHT


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoding", "klingon"),
        ("encoding", "base64"),
        ("separator", ""),
        ("separator", ";;"),
        ("separator", '"'),
        ("separator", "\n"),
        ("separator", "a"),
        ("separator", "¦"),
        ("date_form", "%d.%m."),
        ("date_form", "today"),
        ("datetime_form", "%H:%M"),
        ("conflict", "merge"),
        ("conflict_columns", []),
        ("max_unpacked", 0),
    ],
)
def test_what_cannot_be_is_refused(name: str, value: Any) -> None:
    """A worker that cannot read its partners' files does not start."""
    with pytest.raises(ValidationError):
        InsertHandler.model_validate({"type": "t", "table": "t", name: value})
