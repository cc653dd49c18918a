"""The page on signed messages: its vectors, its text and its Python program make what the worker verifies."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.headers import OwnHeader, read_own_header
from tests.support.signed_letters import KEY
from worker.signing import Content, Key, content_of, read_signature, sign, signed_bytes

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
VECTOR_KEY = Key.of(b"0123456789abcdef0123456789abcdef")
VECTOR_SECONDS = 1795341600


def block(opened: str, part: str = "") -> str:
    """The page's only code block that is opened so, and has this in it."""
    found = re.findall(rf"^```{opened}\n(.*?)\n```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    (body,) = [one for one in found if part in one]
    return str(body)


def content(body: str, own: OwnHeader | None = None) -> Content:
    return content_of(body, {}, own or OwnHeader(), json.loads(body))


def test_the_vectors_are_right() -> None:
    """Whoever writes a producer tests it with them: they must stay as they are."""
    bodies, signatures = block("json signed").splitlines(), block("text signatures").splitlines()

    assert len(bodies) == 2
    assert [str(sign(content(body), VECTOR_SECONDS, VECTOR_KEY)) for body in bodies] == signatures
    assert signed_bytes(content(bodies[0]), VECTOR_SECONDS).decode() == block("text signed")


@pytest.mark.parametrize(
    "fields", [{}, {"run": 2, "expires_at": "2026-12-01T00:00:00Z", "payload": "Zo\u00eb"}]
)
def test_the_python_program_signs_right(fields: dict[str, Any]) -> None:
    """Copied as it stands, of a job with everything or with the least."""
    names: dict[str, Any] = {}
    exec(compile(block("python", "def message"), "security.md", "exec"), names)  # noqa: S102 - our own document
    message: Callable[..., dict[str, Any]] = names["message"]
    sent = message({"type": "orders.insert", **fields}, KEY)
    attribute = sent["MessageAttributes"]["Shardworker"]
    own = read_own_header({"Shardworker": attribute["StringValue"]})
    signature = read_signature(own.signature)

    assert attribute["DataType"] == "String"
    assert signature is not None
    assert signature.is_right(content(sent["MessageBody"], own), Key.of(KEY))
