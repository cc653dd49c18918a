"""Dead letters for Symfony's consumers: its stamps are on them, and a retry sends what its side sent."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.headers import SYMFONY_ATTRIBUTE, read_own_header
from config.stamps import DELAY, ERROR_DETAILS, REDELIVERY, STAMP_PREFIX, Stamps
from tests.support.jobs import held_of
from tests.support.symfony_letters import (
    BUS,
    CLASS,
    HEADERS,
    KEY,
    SymfonyDesk,
    delivered,
    from_symfony,
    headers_of,
    key_file,
)
from worker.claim_check import POINTER_CLASS, is_pointer
from worker.conclusion import Reason
from worker.letters import ATTRIBUTES_MAXIMUM
from worker.symfony.signing import is_signed_right
from worker.transports.base import Attribute, Message
from worker.transports.limits import MESSAGE_BYTES_MAXIMUM

BODY = '{"jobId":42}'
POINTER = json.dumps([POINTER_CLASS, {"s3BucketName": "b", "s3Key": "k"}])
REDELIVERIES = STAMP_PREFIX + REDELIVERY
RETRIED = {
    **HEADERS,
    REDELIVERIES: json.dumps(
        [{"retryCount": count, "redeliveredAt": "2026-11-21T19:08:40+00:00"} for count in range(1, 11)]
    ),
    STAMP_PREFIX + DELAY: '[{"delay":974},{"delay":1941}]',
}
OTHERS = {"traceparent": "00-ab", "tenant": "acme", "App-Version": "1.2"}


def test_a_dead_letter_has_the_stamps_of_symfony_s_own_failure_transport() -> None:
    """Beside the original body, class and stamps, and the worker's own attribute as ever."""
    letter = SymfonyDesk(failure_stamps=True, receiver_name="imports").bury(from_symfony(BODY))
    headers = headers_of(letter.attributes)
    stamps = Stamps.read(headers)

    assert letter.body == BODY
    assert (headers["type"], headers[BUS]) == (CLASS, HEADERS[BUS])
    assert stamps.original_receiver == "imports"
    assert stamps.last(DELAY) == {"delay": 0}
    assert stamps.last(REDELIVERY) == {"retryCount": 0, "redeliveredAt": "2026-11-21T12:00:00+00:00"}
    assert stamps.last(ERROR_DETAILS) == {
        "exceptionClass": "schema_defect",
        "exceptionCode": 0,
        "exceptionMessage": "A table is missing.",
        "flattenException": None,
    }
    assert read_own_header(letter.headers).code == "schema_defect"


def test_the_receiver_is_the_queue_where_none_is_named() -> None:
    """Symfony's transports are mostly named as their queues are."""
    letter = SymfonyDesk(failure_stamps=True).bury(from_symfony(BODY))

    assert Stamps.read(headers_of(letter.attributes)).original_receiver == "requests"


def test_without_being_asked_for_there_are_no_stamps() -> None:
    """The attributes are the original's, and one of ours."""
    original = from_symfony(BODY)
    letter = SymfonyDesk().bury(original)

    assert {
        name: one for name, one in letter.attributes.items() if name != "Shardworker"
    } == original.attributes


def test_stamps_that_were_there_stay_and_their_history_has_an_end() -> None:
    """Of redeliveries the first and the last nine, as Symfony keeps them."""
    letter = SymfonyDesk(failure_stamps=True).bury(from_symfony(BODY, RETRIED))
    redeliveries = Stamps.read(headers_of(letter.attributes)).all(REDELIVERY)

    assert [stamp["retryCount"] for stamp in redeliveries] == [1, 3, 4, 5, 6, 7, 8, 9, 10, 0]


def test_a_job_that_had_no_class_gets_the_one_of_the_configuration() -> None:
    """Without one Symfony before 8.1 would delete the message unread."""
    desk = SymfonyDesk(failure_stamps=True, job_class=CLASS)

    assert desk.bury(Message("{}")).attributes["type"] == Attribute("String", CLASS)
    assert desk.bury(from_symfony(BODY, {"type": "App\\Other"})).attributes["type"].value == "App\\Other"


@pytest.mark.parametrize("headers", [HEADERS, RETRIED, {}, {**RETRIED, SYMFONY_ATTRIBUTE: "no JSON"}])
@pytest.mark.parametrize("others", [{}, OTHERS, {f"header-{number}": "x" for number in range(7)}])
def test_a_retry_sends_the_original_s_attributes(headers: dict[str, str], others: dict[str, str]) -> None:
    """Each as it was, to the byte, however full the message was; none of what was added for Symfony."""
    original = from_symfony(BODY, {**headers, **others})
    desk = SymfonyDesk(failure_stamps=True, job_class=CLASS)
    again = desk.retry(desk.bury(original))

    found = {name: one for name, one in again.attributes.items() if name != "Shardworker"}
    folded = read_own_header(again.headers).folded
    assert {
        **found,
        **{name: Attribute("String", text) for name, text in folded.items()},
    } == original.attributes


def test_what_is_no_json_in_symfony_s_attribute_comes_back() -> None:
    """It makes room for the stamps while the message is on the failure queue."""
    original = Message(
        BODY, {"type": Attribute("String", CLASS), SYMFONY_ATTRIBUTE: Attribute("String", "{no")}
    )
    desk = SymfonyDesk(failure_stamps=True)
    letter = desk.bury(original)

    assert Stamps.read(headers_of(letter.attributes)).original_receiver == "requests"
    assert desk.retry(letter).attributes[SYMFONY_ATTRIBUTE] == Attribute("String", "{no")


def test_a_type_that_is_no_header_comes_back_with_its_type() -> None:
    """An attribute of another type than String is none to Symfony; ours takes its place meanwhile."""
    number = Attribute("Number", "7")
    desk = SymfonyDesk(failure_stamps=True, job_class=CLASS)
    letter = desk.bury(Message(BODY, {"type": number}))

    assert letter.attributes["type"].value == CLASS
    assert desk.retry(letter).attributes["type"] == number


@pytest.mark.parametrize("texts", [["String", ""], ["Nonsense", "x"], ["Binary", "x"], ["Number", "\x00"]])
def test_what_others_write_into_our_header_stops_no_message(texts: list[str]) -> None:
    """An attribute that no queue takes is none of a producer's."""
    header = json.dumps({"replaced": {"type": texts, "a b": ["String", "x"]}})
    desk = SymfonyDesk()
    letter = desk.bury(Message(BODY, {"Shardworker": Attribute("String", header)}))

    assert letter.attributes.keys() == {"Shardworker"}


def test_a_message_that_fails_again_gets_its_stamps_anew() -> None:
    """A dead letter that was moved to the request queue as it is: the original is still known."""
    desk = SymfonyDesk(failure_stamps=True)
    original = from_symfony(BODY, HEADERS)
    first = desk.bury(original)
    second = desk.bury(Message(first.body, first.attributes))

    assert len(Stamps.read(headers_of(second.attributes)).all(REDELIVERY)) == 1
    assert desk.retry(second).attributes[SYMFONY_ATTRIBUTE] == original.attributes[SYMFONY_ATTRIBUTE]


def test_what_symfony_has_to_find_is_never_folded_into_ours() -> None:
    """SQS takes ten attributes: of a full message others find their place in our own."""
    named = {"type": CLASS, BUS: HEADERS[BUS]}
    headers = {**named, **{f"header-{number}": "long" * 9 for number in range(8)}}
    letter = SymfonyDesk(failure_stamps=True).bury(from_symfony(BODY, headers))

    assert len(letter.attributes) <= ATTRIBUTES_MAXIMUM
    assert {"type", SYMFONY_ATTRIBUTE} <= letter.attributes.keys()


def test_a_signed_message_is_signed_anew(tmp_path: Path) -> None:
    """Its stamps have changed; with the key that signs here, which need not be the one that signed there."""
    files = [key_file(tmp_path, b"new", "new"), key_file(tmp_path, KEY, "old")]
    desk = SymfonyDesk(failure_stamps=True, sign_key_files=files)
    original = from_symfony(BODY, key=KEY)
    letter = desk.bury(original)

    assert is_signed_right(BODY, headers_of(letter.attributes), b"new")
    assert Stamps.read(headers_of(letter.attributes)).original_receiver == "requests"
    again = desk.retry(letter)
    assert is_signed_right(BODY, headers_of(again.attributes), KEY)


@pytest.mark.parametrize("with_a_key", [True, False])
def test_nothing_signed_is_changed_by_who_cannot_vouch_for_it(tmp_path: Path, *, with_a_key: bool) -> None:
    """A signature by another key, or a forged one, must never come back as ours."""
    files = [key_file(tmp_path)] if with_a_key else []
    original = from_symfony(BODY, key=b"another key")
    letter = SymfonyDesk(failure_stamps=True, job_class=CLASS, sign_key_files=files).bury(original)

    assert {
        name: one for name, one in letter.attributes.items() if name != "Shardworker"
    } == original.attributes


@given(
    st.dictionaries(st.sampled_from(["a", "b", "X-Message-Stamp-A", "type"]), st.text("x[]{}", min_size=1))
)
def test_a_signature_stays_good_on_copies_and_letters(headers: dict[str, str]) -> None:
    """What the worker adds of its own is not signed, and what it folds is found again."""
    desk = SymfonyDesk()
    original = from_symfony(BODY, {**headers, **{f"header-{number}": "xx" for number in range(6)}}, KEY)
    held = held_of(original.body, attributes=original.attributes)
    copy = desk.letters.copy(desk.queue, held.delivery, None, desk.time.clock.now() - desk.time.clock.now())

    for sent in (delivered(copy), desk.bury(original), desk.retry(desk.bury(original))):
        assert is_signed_right(BODY, headers_of(sent.attributes), KEY)


def test_stamps_never_keep_a_message_from_the_failure_queue() -> None:
    """One that has just room for our own attribute goes as it is, by no bucket, without stamps."""
    probe = SymfonyDesk().bury(from_symfony(BODY))
    own = sum(len(name) + len(one.value) for name, one in probe.attributes.items()) + 40
    body = json.dumps({"jobId": "x" * (MESSAGE_BYTES_MAXIMUM - own - 200)})
    letter = SymfonyDesk(bucket=None, failure_stamps=True).bury(from_symfony(body))

    assert letter.body == body
    assert Stamps.read(headers_of(letter.attributes)).original_receiver is None


def test_attributes_that_are_no_headers_stay_where_they_are() -> None:
    """Numbers and bytes are none of Symfony's."""
    others = {"number": Attribute("Number", "7"), "bytes": Attribute("Binary", b"\x00")}
    original = from_symfony(BODY)
    letter = SymfonyDesk(failure_stamps=True).bury(Message(BODY, {**original.attributes, **others}))

    assert {name: letter.attributes[name] for name in others} == others


@pytest.mark.parametrize("body", [POINTER, json.dumps({"jobId": "x" * MESSAGE_BYTES_MAXIMUM})])
def test_a_letter_by_claim_check_has_no_stamps(body: str) -> None:
    """Symfony's serializer does not read those: nothing is gained, and much of its room is lost."""
    letter = SymfonyDesk(failure_stamps=True).bury(from_symfony(body))

    assert is_pointer(letter.body)
    assert Stamps.read(headers_of(letter.attributes)).original_receiver is None


def test_a_long_reason_makes_no_large_stamp() -> None:
    """Traces of ten kilobytes are what blocks a failure transport elsewhere."""
    letter = SymfonyDesk(failure_stamps=True).bury(from_symfony(BODY), Reason("handler_error", "x" * 10_000))

    assert len(Stamps.read(headers_of(letter.attributes)).texts[ERROR_DETAILS]) < 1000
