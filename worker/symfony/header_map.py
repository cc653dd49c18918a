"""Headers as message attributes, by the rule of Symfony's SQS transport: what no queue takes is in one."""

import json
from collections.abc import Mapping

from config.headers import SYMFONY_ATTRIBUTE
from worker.transports.base import Attribute
from worker.transports.limits import attribute_ok


def fold(headers: Mapping[str, str]) -> dict[str, Attribute]:
    """An attribute for each header; those that no queue takes stand in `X-Symfony-Messenger`, as JSON.

    `config.headers.read_headers` reads it back, and so does Symfony. What Symfony itself would not put there
    is a value that is empty or has forbidden characters: no queue would take it anywhere else.
    """
    strings = {name: Attribute("String", text) for name, text in headers.items()}
    plain = {
        name: one for name, one in strings.items() if name != SYMFONY_ATTRIBUTE and attribute_ok(name, one)
    }
    others = {name: text for name, text in headers.items() if name not in plain}
    if not others:
        return plain
    return {**plain, SYMFONY_ATTRIBUTE: Attribute("String", json.dumps(others, separators=(",", ":")))}
