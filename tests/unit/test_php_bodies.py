"""Bodies of PHP's serializer: recognised in every form that Symfony sends, and nothing else is."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.job import BadMessage
from config.symfony import Symfony
from tests.support.jobs import held_of, job_fields
from tests.support.wire import JSON_VALUES
from worker.envelope import open_envelope
from worker.symfony.php_bodies import is_php_serialized

SERIALIZED = (
    'O:36:"Symfony\\Component\\Messenger\\Envelope":2:{s:44:"\0Symfony\\Component\\Messenger\\Envelope\0stamps";'
    'a:0:{}s:45:"\0Symfony\\Component\\Messenger\\Envelope\0message";O:21:"App\\Message\\ImportJob":1:'
    '{s:5:"jobId";s:3:"j-ä";}}'
)


def addslashes(text: str) -> str:
    """As PHP's function of that name."""
    return "".join({"\0": "\\0", "\\": "\\\\", '"': '\\"', "'": "\\'"}.get(one, one) for one in text)


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def code_of(body: str) -> str:
    with pytest.raises(BadMessage) as raised:
        open_envelope(body, held_of(body), Symfony())
    return raised.value.code


@pytest.mark.parametrize(
    "body",
    [
        SERIALIZED,
        addslashes(SERIALIZED),
        in_base64(SERIALIZED),
        in_base64(addslashes(SERIALIZED)),
        f"\n {in_base64(addslashes(SERIALIZED))}\n",
        'a:1:{s:4:"type";s:1:"x";}',
        'C:11:"ArrayObject":21:{x:i:0;a:0:{};m:a:0:{}}',
        'E:11:"Suit:Hearts";',
    ],
)
def test_what_php_serialized_is_told_from_what_is_broken(body: str) -> None:
    """Without a header too: its sender learns which serializer to configure, and where."""
    assert code_of(body) == "php_serialized"
    with pytest.raises(BadMessage, match=r"default_serializer.*messenger\.transport\.symfony_serializer"):
        open_envelope(body, held_of(body), Symfony())


@pytest.mark.parametrize(
    "body",
    [
        "O:1",
        "O",
        "",
        "TzozN",
        "not base64 at all, but long enough to be looked at as if it were, O:36:",
        in_base64(json.dumps(job_fields())),
        in_base64("Once: upon a time"),
        in_base64("a:b:c"),
        json.dumps(SERIALIZED),
        json.dumps([SERIALIZED]),
    ],
)
def test_what_is_broken_otherwise_is_a_bad_message(body: str) -> None:
    """Base64 of other things, and text that only looks like it."""
    assert code_of(body) == "bad_message"


@given(st.dictionaries(st.text(max_size=5), JSON_VALUES | st.just(SERIALIZED)))
def test_no_json_object_is_taken_for_it(fields: dict[str, object]) -> None:
    """Whatever it holds."""
    assert not is_php_serialized(json.dumps(fields))


@given(
    st.text(st.characters(), max_size=200)
    | st.binary(max_size=200).map(lambda data: base64.b64encode(data).decode())
)
def test_no_body_breaks_the_look(body: str) -> None:
    """Half base64, half characters, nothing."""
    assert is_php_serialized(body) in {True, False}
