"""Files of rows for the tests that read them: a model, and what reading gives or refuses."""

import io
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from config.result import ErrorDetail
from handlers import Reject, csv_rows, json_rows

SECRET = "s3cret"


class Line(msgspec.Struct):
    order_no: int
    article: str
    note: str | None = None
    quantity: int | None = None
    price: Decimal | None = None
    ordered_at: datetime | None = None
    paid: bool = False


def read_csv(text: str | bytes, model: Any = Line) -> list[Any]:
    data = text.encode() if isinstance(text, str) else text
    return list(csv_rows(io.BytesIO(data), model))


def read_json(text: str | bytes, model: Any = Line) -> list[Any]:
    data = text.encode() if isinstance(text, str) else text
    return list(json_rows(io.BytesIO(data), model))


def csv_faults(text: str | bytes, model: Any = Line, code: str = "invalid_rows") -> tuple[ErrorDetail, ...]:
    return faults_of(lambda: read_csv(text, model), code)


def faults_of(read: Any, code: str = "invalid_rows") -> tuple[ErrorDetail, ...]:
    with pytest.raises(Reject) as caught:
        read()
    assert caught.value.code == code
    assert SECRET not in f"{caught.value.message} {caught.value.details}"
    return caught.value.details
