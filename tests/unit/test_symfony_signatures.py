"""Which messages have to be signed: by their class, or by the job that they would become."""

from pathlib import Path
from typing import Any

import pytest

from config.symfony import Symfony
from tests.support.symfony_letters import CLASS, KEY, key_file
from worker.signing_keys import BadSignature, SignKeyUnusable
from worker.symfony.signatures import Signatures
from worker.symfony.signing import sign

BODY = "{}"
OTHER = "App\\Message\\Other"


def signatures(directory: Path, **section: Any) -> Signatures:
    return Signatures(
        Symfony.model_validate({"signed_types": [CLASS], "sign_key_files": [key_file(directory)], **section})
    )


def test_a_class_that_is_named_asks_for_a_signature(tmp_path: Path) -> None:
    """Without one, with another key's or another body's a message is refused; other classes are not asked."""
    asked = signatures(tmp_path)
    headers = {"type": CLASS}

    asked.check_class(BODY, {**headers, **sign(BODY, headers, KEY)})
    asked.check_class(BODY, {"type": OTHER})
    for wrong in ({}, sign(BODY, headers, b"another"), sign("[]", headers, KEY)):
        with pytest.raises(BadSignature) as error:
            asked.check_class(BODY, {**headers, **wrong})
        assert error.value.code == "bad_signature"


@pytest.mark.parametrize(
    ("pattern", "name", "asked"),
    [
        ("App\\Message\\*", CLASS, True),
        ("App\\*", CLASS, True),
        ("App\\Messages\\*", CLASS, False),
        (CLASS, CLASS + "s", False),
        ("*", CLASS, True),
        ("*", "", True),
        ("*", "x" * 10_000, True),
    ],
)
def test_a_namespace_asks_for_all_in_it(tmp_path: Path, pattern: str, name: str, *, asked: bool) -> None:
    """`*` asks for everything, also for what has no class at all."""
    found = signatures(tmp_path, signed_types=[pattern])
    headers = {"type": name} if name else {}
    if not asked:
        found.check_class(BODY, headers)
        return
    with pytest.raises(BadSignature):
        found.check_class(BODY, headers)
    found.check_class(BODY, {**headers, **sign(BODY, headers, KEY)})


@pytest.mark.parametrize(
    ("section", "asked"),
    [
        ({"types": {CLASS: "import"}}, True),
        ({"messages": {CLASS: {"type": "import"}}}, True),
        ({"types": {CLASS: "import", OTHER: "import"}}, False),
        ({"types": {CLASS: "import", OTHER: "other"}}, True),
        ({"types": {"App\\Message\\*": "import"}}, False),
        ({"types": {"App\\Message\\*": "import"}, "signed_types": ["App\\*"]}, True),
        ({}, False),
    ],
)
def test_nobody_gets_round_it_by_leaving_the_class_out(
    tmp_path: Path, section: dict[str, Any], *, asked: bool
) -> None:
    """A job type that only signed classes lead to asks for a signature, whatever the headers say."""
    found = signatures(tmp_path, **section)
    found.check_job_type("other", BODY, {})
    found.check_job_type("import", BODY, sign(BODY, {}, KEY))
    if asked:
        with pytest.raises(BadSignature):
            found.check_job_type("import", BODY, {})
    else:
        found.check_job_type("import", BODY, {})


def test_each_of_the_keys_is_accepted_and_the_first_one_signs(tmp_path: Path) -> None:
    """So that a key can be changed without a moment in which messages are refused."""
    files = [key_file(tmp_path, b"new", "new"), key_file(tmp_path, b"old", "old")]
    found = signatures(tmp_path, sign_key_files=files)
    headers = {"type": CLASS}

    for key in (b"new", b"old"):
        found.check_class(BODY, {**headers, **sign(BODY, headers, key)})
    assert found.sign(BODY, headers) == sign(BODY, headers, b"new")


def test_the_space_around_a_key_is_none_of_it(tmp_path: Path) -> None:
    """An editor's newline must not make another key."""
    (tmp_path / "key").write_bytes(b"  a key of words \r\n")
    found = signatures(tmp_path, sign_key_files=[str(tmp_path / "key")])

    assert found.sign(BODY, {}) == sign(BODY, {}, b"a key of words")


@pytest.mark.parametrize(("content", "cause"), [(None, "No such file"), (b" \n", "empty")])
def test_a_file_without_a_key_is_named(tmp_path: Path, content: bytes | None, cause: str) -> None:
    """Nothing can be verified without it; an empty key would be one that everybody knows."""
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(SignKeyUnusable, match=cause) as error:
        signatures(tmp_path, sign_key_files=[str(tmp_path / "key")])

    assert "sign_key_files" in str(error.value)
    assert str(tmp_path / "key") in str(error.value)


def test_changed_keys_are_taken_over_as_a_whole(tmp_path: Path) -> None:
    """After a reload, by all who hold these signatures."""
    found = signatures(tmp_path)
    found.become(signatures(tmp_path, sign_key_files=[key_file(tmp_path, b"new", "new")]))

    assert found.sign(BODY, {}) == sign(BODY, {}, b"new")


def test_the_reason_says_what_is_wrong_and_nothing_that_is_secret(tmp_path: Path) -> None:
    """An old signature, of the body alone, is told from none at all: what to do is another."""
    found = signatures(tmp_path)
    with pytest.raises(BadSignature, match=r"body alone.*update") as old:
        found.check_class(BODY, {"type": CLASS, "Body-Sign": "ab12"})
    with pytest.raises(BadSignature, match="have to be signed") as none:
        found.check_class(BODY, {"type": CLASS})

    assert KEY.decode() not in f"{old.value}{none.value}"


def test_only_what_is_asked_for_is_signed(tmp_path: Path) -> None:
    """A result of a class that its consumer does not verify needs no signature."""
    found = signatures(tmp_path)

    assert found.sign_if_asked(BODY, {"type": OTHER}) == {}
    assert found.sign_if_asked(BODY, {"type": CLASS}) == sign(BODY, {"type": CLASS}, KEY)
