"""Symfony's signature: known vectors, and that nothing signed can be changed unnoticed."""

import hmac
import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.symfony.signing import covers_body_alone, is_signed_right, sign, signed_bytes

KEY = b"s3cr3t of the application"
BUS = "X-Message-Stamp-Symfony\\Component\\Messenger\\Stamp\\BusNameStamp"
DELAY = "X-Message-Stamp-Symfony\\Component\\Messenger\\Stamp\\DelayStamp"
BODY = '{"jobId":"01JD3ZK7Q2","note":"\\u00eb / \u00eb \u20ac \U0001f600","rows":[]}'
HEADERS = {
    "type": "App\\Message\\ImportJob",
    BUS: '[{"busName":"messenger.bus.default"}]',
    DELAY: '[{"delay":974},{"delay":1941}]',
    "Content-Type": "application/json",
}
SIGNED = st.dictionaries(
    st.just("type") | st.text(max_size=8).map(lambda text: f"X-Message-Stamp-{text}"), st.text(max_size=20)
)


def unserialized(text: bytes) -> tuple[object, bytes]:
    """The value at the beginning of what PHP's `serialize` writes, and the rest: strings, numbers, arrays."""
    if text.startswith(b"s:"):
        length, _, rest = text[2:].partition(b":")
        end = 1 + int(length)
        assert rest[:1] == b'"'
        assert rest[end : end + 2] == b'";'
        return rest[1:end], rest[end + 2 :]
    number = re.match(rb"i:(\d+);", text)
    if number:
        return int(number[1]), text[number.end() :]
    opening = re.match(rb"a:(\d+):\{", text)
    assert opening
    rest, found = text[opening.end() :], {}
    for _ in range(int(opening[1])):
        key, rest = unserialized(rest)
        found[key], rest = unserialized(rest)
    assert rest[:1] == b"}"
    return found, rest[1:]


@given(st.text(), SIGNED)
def test_what_is_signed_is_what_php_would_serialize(body: str, headers: dict[str, str]) -> None:
    """Any text, of any length in bytes, is read back as it was, with the headers by name in order."""
    value, rest = unserialized(signed_bytes(body, headers))

    assert rest == b""
    assert isinstance(value, dict)
    assert value[0] == body.encode()
    pairs = {name.encode(): text.encode() for name, text in headers.items()}
    assert list(value[1].items()) == sorted(pairs.items())


def test_the_signature_is_made_as_symfony_makes_it() -> None:
    """By its formula, spelled out: the key is derived, the pair is serialized, strings count bytes."""
    derived = hmac.new(b"key", b"v2:", sha256).hexdigest().encode()
    headers = b's:17:"X-Message-Stamp-A";s:2:"[]";s:4:"type";s:5:"App\\A";'
    serialized = b'a:2:{i:0;s:10:"{"a":"\xc3\xab"}";i:1;a:2:{' + headers + b"}}"
    expected = hmac.new(derived, serialized, sha256).hexdigest()

    assert sign('{"a":"\u00eb"}', {"type": "App\\A", "X-Message-Stamp-A": "[]"}, b"key") == {
        "Body-Sign": f"v2:{expected}",
        "Sign-Algo": "sha256",
    }


@pytest.mark.parametrize(
    ("body", "headers", "key", "signature"),
    [
        (BODY, HEADERS, KEY, "59bc84ab260c67a476b64c2f38edeacbfb5a1b3687534396a8a2b0acc11245f7"),
        ("", {}, b"k", "616d120a05cb8314e4d6c54d2381eb82fbae5e06a264000b29b04aa941c70ee8"),
        (
            '{"a":"\u00eb"}',
            {"type": "App\\A"},
            "\u043a\u043b\u044e\u0447".encode(),
            "d999fa87263ee44ec07d404bcbadf4b7271c80d50d1aaeb31f3f44b8d9a61a08",
        ),
    ],
)
def test_known_signatures(body: str, headers: dict[str, str], key: bytes, signature: str) -> None:
    """Made by PHP 8.2 itself, with its own `serialize` and `hash_hmac`."""
    assert sign(body, headers, key)["Body-Sign"] == f"v2:{signature}"


@given(st.text(), SIGNED)
def test_what_was_signed_is_found_right(body: str, headers: dict[str, str]) -> None:
    """Whatever stands beside it: other headers are nobody's business."""
    signed = {**headers, **sign(body, headers, KEY), "Content-Type": "text/plain", "Shardworker": "{}"}

    assert is_signed_right(body, signed, KEY)
    assert not is_signed_right(body, signed, b"another key")


@given(st.text(), SIGNED, st.data())
def test_nothing_that_is_signed_can_be_changed(
    body: str, headers: dict[str, str], data: st.DataObject
) -> None:
    """Neither the body, nor the class, nor a stamp: changed, added or taken away."""
    signature = sign(body, headers, KEY)
    other_body, other_headers = data.draw(st.text()), data.draw(SIGNED)
    unchanged = (other_body, other_headers) == (body, headers)

    assert is_signed_right(other_body, {**other_headers, **signature}, KEY) is unchanged


def test_a_signature_of_the_body_alone_is_none() -> None:
    """As Symfony made it at first: any class could be put to a body that is signed so."""
    alone = hmac.new(KEY, BODY.encode(), sha256).hexdigest()
    headers = {**HEADERS, "Body-Sign": alone, "Sign-Algo": "sha256"}

    assert not is_signed_right(BODY, headers, KEY)
    assert covers_body_alone(headers)


def test_a_message_that_symfony_itself_did_not_verify_is_not_signed_right() -> None:
    """Symfony 8.2 signs such a one with a mark; without it the signature is wrong, with it for us as well."""
    derived = hmac.new(KEY, b"v2:", sha256).hexdigest().encode()
    marked = b'a:2:{i:0;s:2:"{}";i:1;a:2:{s:10:"Sign-Trust";s:10:"unverified";s:4:"type";s:1:"A";}}'
    signature = f"v2:{hmac.new(derived, marked, sha256).hexdigest()}"

    assert not is_signed_right("{}", {"type": "A", "Sign-Trust": "unverified", "Body-Sign": signature}, KEY)


@pytest.mark.parametrize("signature", ["", "v2:", "v2:\u00eb", "\ud800", "v2:" + "0" * 64, "x" * 100_000])
def test_no_signature_stops_the_one_who_verifies(signature: str) -> None:
    """Anybody can write the header: what cannot be one is a wrong one."""
    assert not is_signed_right(BODY, {**HEADERS, "Body-Sign": signature}, KEY)


def test_no_signature_at_all_is_no_old_one() -> None:
    """So that the reason of the refusal says what is missing."""
    assert not covers_body_alone(HEADERS)
    assert not covers_body_alone({**HEADERS, "Body-Sign": "v2:ab"})
