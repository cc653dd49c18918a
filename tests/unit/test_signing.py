"""The worker's own signature: its formula, and that nothing signed can be changed unnoticed."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.headers import OwnHeader
from tests.support.jobs import job_fields
from tests.support.signed_letters import KEY, OTHER_KEY, signature
from worker.signing import Content, Key, content_of, read_signature, sign, signed_bytes

SECRET = Key.of(KEY)
TEXTS = st.text(st.characters())
SECONDS = st.integers(0, 10**11 - 1)
CONTENTS = st.builds(
    Content,
    body=TEXTS,
    type=TEXTS,
    run=st.integers(1, 2**31 - 1),
    expires_at=TEXTS,
    renewed_at=TEXTS,
)


@given(CONTENTS, SECONDS)
def test_what_was_signed_is_found_right(content: Content, seconds: int) -> None:
    """Also after its way as text; with no other key."""
    read = read_signature(str(sign(content, seconds, SECRET)))

    assert read is not None
    assert read.is_right(content, SECRET)
    assert not read.is_right(content, Key.of(OTHER_KEY))
    assert int(read.issued_at.timestamp()) == seconds


@given(CONTENTS, SECONDS, st.sampled_from(["body", "type", "expires_at", "renewed_at"]), st.data())
def test_no_single_character_can_be_changed(
    content: Content, seconds: int, name: str, data: st.DataObject
) -> None:
    """One in place of another, one more or one less, in any of the texts."""
    text = getattr(content, name)
    place = data.draw(st.integers(0, len(text)))
    changed = text[:place] + data.draw(st.text(st.characters(), max_size=1)) + text[place + 1 :]
    found = sign(content, seconds, SECRET)

    assert found.is_right(content._replace(**{name: changed}), SECRET) is (changed == text)


@given(CONTENTS, SECONDS, st.integers(1, 2**31 - 1), SECONDS)
def test_neither_run_nor_age_can_be_changed(content: Content, seconds: int, run: int, other: int) -> None:
    """Whoever may write to the queue raises no run and makes no message younger."""
    found = sign(content, seconds, SECRET)

    assert found.is_right(content._replace(run=run), SECRET) is (run == content.run)
    assert found._replace(issued_at_seconds=other).is_right(content, SECRET) is (other == seconds)


@given(CONTENTS, CONTENTS, SECONDS, SECONDS)
def test_no_two_messages_are_signed_alike(one: Content, other: Content, first: int, second: int) -> None:
    """However the texts are cut: what was signed for one message is no other's."""
    same = (one, first) == (other, second)

    assert (signed_bytes(one, first) == signed_bytes(other, second)) is same


def test_a_text_cannot_be_moved_from_one_field_to_the_next() -> None:
    """The lengths say where each one ends."""
    content = Content("{}", "a", 1, "", "")

    assert signed_bytes(content, 7) == b"14:shardworker-v1,1:a,1:1,0:,1:7,0:,2:{},"
    assert signed_bytes(content._replace(type="a,1:1"), 7) != signed_bytes(content, 7)


@pytest.mark.parametrize(
    "fields",
    [{}, {"run": 3}, {"expires_at": "2026-12-01T00:00:00Z"}, {"payload": {"note": "Zo\u00eb \U0001f600"}}],
)
def test_the_signature_is_made_by_the_formula(fields: dict[str, Any]) -> None:
    """That of docs/security.md, as a producer writes it."""
    issued_at = datetime(2026, 11, 22, 10, tzinfo=UTC)
    for ascii_only in (True, False):
        body = json.dumps(job_fields(**fields), ensure_ascii=ascii_only)
        content = content_of(body, {}, OwnHeader(), json.loads(body))

        ours = str(sign(content, int(issued_at.timestamp()), SECRET))
        assert ours == signature(body, issued_at=issued_at)


def test_what_is_signed_is_what_is_in_force() -> None:
    """The header's run goes before the body's, and so does its class; another form is as if absent."""
    fields = {"type": "orders.insert", "run": 2, "expires_at": "2026-12-01T00:00:00Z"}
    renewed_at = datetime(2026, 11, 22, tzinfo=UTC)
    forced = content_of("b", {"type": "App\\A"}, OwnHeader(run=3, renewed_at=renewed_at), fields)

    assert content_of("b", {}, OwnHeader(), fields) == ("b", "orders.insert", 2, "2026-12-01T00:00:00Z", "")
    assert forced == ("b", "class App\\A", 3, "2026-12-01T00:00:00Z", "2026-11-22T00:00:00+00:00")
    for run in (True, "2", 0, -1, 2**31, 1.0, 10**5000):
        odd = content_of("b", {}, OwnHeader(), {"type": 7, "run": run, "expires_at": 1})
        assert odd == ("b", "", 1, "", "")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "v1",
        "v2:00000000:1:" + "0" * 64,
        "v1:0000000g:1:" + "0" * 64,
        "v1:00000000:-1:" + "0" * 64,
        f"v1:00000000:{'9' * 12}:" + "0" * 64,
        "v1:00000000:1:" + "0" * 63,
        "v1:00000000:1:" + "0" * 64 + "\n",
        "v1:00000000:\u0661:" + "0" * 64,
        "\ud800",
        "x" * 100_000,
    ],
)
def test_what_is_no_signature_is_read_as_none(text: str | None) -> None:
    """Anybody can write the field."""
    assert read_signature(text) is None


def test_a_signature_tells_its_key_and_nothing_of_it() -> None:
    """Eight characters of a hash, by which an operator finds the file."""
    text = str(sign(Content("{}", "a", 1, "", ""), 7, SECRET))

    assert text.startswith(f"v1:{SECRET.id}:7:")
    assert KEY.decode() not in text
    assert len(SECRET.id) == 8
