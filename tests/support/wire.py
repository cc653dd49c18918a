"""Wire messages for tests: generated valid ones, near misses of them, and the schemas' verdict on each."""

import copy
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from config.job import Job
from config.result import Change, CustomerResult, Error, ErrorDetail, Progress, Result

SCHEMAS = Path(__file__).parents[2] / "config" / "schemas"

PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
JOB_ID_CHARACTERS = "0123456789abcxyzABCXYZ_"
CONTROLS = "".join(map(chr, [*range(0x20), 0x7F]))
NO_CONTROLS = st.characters(codec="utf-8", exclude_characters=CONTROLS)
NO_PATH = st.characters(codec="utf-8", exclude_characters=CONTROLS + "/\\")


def schema(name: str) -> dict[str, Any]:
    """The schema `job` or `result` as it is shipped."""
    loaded: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return loaded


def validator(name: str) -> Draft202012Validator:
    """What a partner would check a message with."""
    return Draft202012Validator(schema(name))


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
JOB_IDS = st.builds(
    str.__add__, st.sampled_from(JOB_ID_CHARACTERS), st.text(JOB_ID_CHARACTERS + ".-", max_size=59)
)
PARTNER_IDS = st.text(JOB_ID_CHARACTERS + "-", min_size=1, max_size=64)
CUSTOMER_IDS = st.text(PRINTABLE, min_size=1, max_size=128)
JOB_TYPES = st.text(PRINTABLE, min_size=1, max_size=255)
CORRELATION_IDS = st.text(NO_CONTROLS, min_size=1, max_size=255)
NAMES = st.text(NO_PATH, min_size=1, max_size=255).filter(lambda name: name not in {".", ".."})
DIGESTS = st.binary(max_size=4).map(lambda data: hashlib.sha256(data).hexdigest())
# hypothesis asks for naive bounds and adds the time zone itself.
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - see above
TIMESTAMPS = st.builds(
    lambda moment, separator, zone: moment.strftime(f"%Y-%m-%d{separator}%H:%M:%S") + zone,
    MOMENTS,
    st.sampled_from("Tt "),
    st.sampled_from(["Z", "z", ".5Z", ".123456789+00:00", "+05:30", "-0800", "-00:00", "+23:59"]),
)


def _attachments(names: st.SearchStrategy[str] = NAMES) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "name": names,
            "bucket": st.text(min_size=1, max_size=20),
            "key": st.text(min_size=1, max_size=20),
            "size": st.integers(0, 2**63 - 1),
            "sha256": DIGESTS | DIGESTS.map(str.upper),
        },
        optional={
            "version_id": st.none() | st.text(min_size=1, max_size=20),
            "content_type": st.none() | st.text(max_size=20),
        },
    )


SCHEDULES = st.none() | st.fixed_dictionaries(
    {"kind": st.just("scheduler"), "name": st.text(), "group": st.text(), "trigger_at": TIMESTAMPS}
)
SCHEDULES |= st.fixed_dictionaries(
    {"kind": st.just("rule"), "name": st.text(), "bus": st.text(), "trigger_at": TIMESTAMPS}
)
KNOWN_JOB_FIELDS = frozenset(Job.__struct_fields__)


@st.composite
def job_objects(draw: st.DrawFn) -> dict[str, Any]:
    """JSON objects that are jobs by every rule of the contract."""
    attachments = draw(st.lists(_attachments(), max_size=3, unique_by=lambda attachment: attachment["name"]))
    names = [attachment["name"] for attachment in attachments]
    entries = st.fixed_dictionaries(
        {},
        optional={
            "payload": JSON_VALUES,
            "attachments": st.lists(st.sampled_from(names), unique=True) if names else st.just([]),
        },
    )
    ids = draw(st.lists(CUSTOMER_IDS, min_size=1, max_size=4, unique=True))
    customers = [
        {"customer_id": customer_id, **draw(entries)} if draw(st.booleans()) else customer_id
        for customer_id in ids
    ]
    fields = st.fixed_dictionaries(
        {"job_id": JOB_IDS, "type": JOB_TYPES, "partner_id": PARTNER_IDS},
        optional={
            "run": st.integers(1, 2**31 - 1),
            "payload": JSON_VALUES,
            "correlation_id": st.none() | CORRELATION_IDS,
            "submitted_at": st.none() | TIMESTAMPS,
            "expires_at": st.none() | TIMESTAMPS,
            "dry_run": st.booleans(),
            "schedule": SCHEDULES,
        },
    )
    unknown = st.dictionaries(
        st.text(max_size=8).filter(lambda name: name not in KNOWN_JOB_FIELDS), JSON_VALUES
    )
    listed = {"attachments": attachments} if attachments else {}
    return {**draw(unknown), **draw(fields), **listed, "customers": customers}


ERRORS = st.builds(
    Error,
    code=st.text(PRINTABLE, min_size=1, max_size=64),
    message=st.text(max_size=1000),
    retryable=st.booleans(),
    details=st.lists(
        st.builds(
            ErrorDetail,
            row=st.none() | st.integers(0, 2**40),
            column=st.none() | st.text(max_size=255),
            rule=st.none() | st.text(max_size=255),
        ),
        max_size=3,
    ).map(tuple),
)
SUCCESSES = st.builds(
    CustomerResult, customer_id=CUSTOMER_IDS, status=st.just("succeeded"), result=JSON_VALUES
)
COUNTS = st.integers(0, 2**40)
CHANGES = st.builds(
    Change,
    table=st.none() | st.text(max_size=255),
    inserted=COUNTS,
    updated=COUNTS,
    deleted=COUNTS,
    upserted=COUNTS,
)
TRIED = st.builds(
    CustomerResult,
    customer_id=CUSTOMER_IDS,
    status=st.just("succeeded"),
    result=JSON_VALUES,
    changes=st.lists(CHANGES, max_size=3).map(tuple),
)
FAILURES = st.builds(CustomerResult, customer_id=CUSTOMER_IDS, status=st.just("failed"), error=ERRORS)


def _results(status: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Result]:
    shared: dict[str, st.SearchStrategy[Any]] = {
        "job_id": JOB_IDS,
        "run": st.integers(1, 2**31 - 1),
        "type": st.none() | JOB_TYPES,
        "partner_id": PARTNER_IDS,
        "correlation_id": st.none() | CORRELATION_IDS,
        "dry_run": st.booleans(),
        "status": st.just(status),
        "received_at": MOMENTS,
        "finished_at": MOMENTS,
    }
    return st.builds(Result, **{**shared, **fields})


def _some(customers: st.SearchStrategy[CustomerResult], least: int = 1) -> st.SearchStrategy[Any]:
    return st.lists(customers, min_size=least, max_size=3).map(tuple)


PROGRESS = st.builds(Progress, done=st.integers(0, 2**40), total=st.integers(0, 2**40))
RESULTS = st.one_of(
    _results("succeeded", customers=_some(SUCCESSES)),
    _results("succeeded", customers=_some(TRIED), dry_run=st.just(value=True)),
    _results("failed", customers=_some(FAILURES)),
    _results("partial", customers=st.builds(tuple.__add__, _some(SUCCESSES), _some(FAILURES))),
    _results("rejected", customers=st.just(()), error=ERRORS),
    _results(
        "running",
        customers=_some(SUCCESSES | FAILURES, least=0),
        finished_at=st.none(),
        progress=PROGRESS,
        waiting=st.lists(CUSTOMER_IDS, max_size=3).map(tuple),
    ),
)

# No `1.0`, which a schema takes for an integer, and no day that is not in its month: both are tested apart.
WRONG_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 1.5, 2**31, 2**63, 2**70, "", " ", ".", "..", "x", "a/b", "a\\b", "ä"),
    *("x\n", "\n", "\x00", "\x7f", "a" * 61, "a" * 65, "a" * 129, "a" * 256, "a" * 1025, "1", "succeeded"),
    *(
        "2026-11-21",
        "2026-11-21T10:00:00",
        "2026-11-21T10:00:00Z",
        "2026-11-21T24:00:00Z",
        "0000-01-01T00:00:00Z",
    ),
    *([], {}, [None], [[]], {"customer_id": "c"}, {"kind": "scheduler"}, {"code": "x", "message": "y"}),
]


@st.composite
def near_misses(draw: st.DrawFn, objects: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    """The objects with one or two changes at any place: mostly invalid, and only just."""
    document = copy.deepcopy(draw(objects))
    for _ in range(draw(st.integers(1, 2))):
        _change(draw, document)
    return document


def _change(draw: st.DrawFn, document: dict[str, Any]) -> None:
    container, key = draw(st.sampled_from(_places(document)))
    old = container[key]
    changes = ["replace", "remove", "copy_beside"]
    changes += ["append_newline", "append_space"] if isinstance(old, str) else []
    match draw(st.sampled_from(changes)):
        case "replace":
            container[key] = copy.deepcopy(draw(st.sampled_from(WRONG_VALUES)))
        case "remove":
            del container[key]
        case "append_newline":
            container[key] = old + "\n"
        case "append_space":
            container[key] = old + " "
        case _:
            _copy_beside(draw, container, key)


def _copy_beside(draw: st.DrawFn, container: Any, key: Any) -> None:
    value = copy.deepcopy(container[key])
    if isinstance(container, list):
        container.append(value)
    else:
        container[
            draw(st.sampled_from(["error", "result", "progress", "payload", "attachments", "extra"]))
        ] = value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every member of every object and list: the container and the key in it."""
    members = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    inner = [place for _, member in members if isinstance(member, dict | list) for place in _places(member)]
    return [(value, key) for key, _ in members] + inner
