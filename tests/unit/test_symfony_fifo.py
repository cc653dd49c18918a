"""Symfony's defaults on FIFO queues, by vectors made with PHP's own `json_encode` and `sha1`."""

import pytest

from worker.symfony.fifo import deduplication_id, default_deduplication_id
from worker.symfony.header_map import fold

STAMPED = {
    "type": r"App\Message\ImportJob",
    r"X-Message-Stamp-Symfony\Component\Messenger\Stamp\BusNameStamp": '[{"busName":"b"}]',
    "Content-Type": "application/json",
}
URL = r'{"a":"http:\/\/x"}'


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ("{}", {}, "4027db7421966397a49f2e6a273dfce40fca1c54"),
        (URL, STAMPED, "b24445785c88e62251e21eab5935338eb5aa51a5"),
        (
            'Zoë \U0001f600 / \x7f \\u007f "q" \n\x01',
            {"type": "T"},
            "200894a0bf936eb5d5fe04d01b2f8c3ac5a8f373",
        ),
    ],
)
def test_the_deduplication_id_is_that_of_php(body: str, headers: dict[str, str], expected: str) -> None:
    """No headers are an empty list to PHP; slashes and all beyond ASCII are escaped, DEL is not."""
    assert deduplication_id(body, headers) == expected


def test_the_headers_are_put_in_the_order_of_symfonys_serializer() -> None:
    """On the queue they have none: stamps are folded into one attribute, and SQS sorts as it likes."""
    attributes = dict(reversed(fold(STAMPED).items()))
    assert default_deduplication_id(URL, attributes) == deduplication_id(URL, STAMPED)
