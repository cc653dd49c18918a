"""Fuzzing in short: every case of the corpus, some hundreds of new ones, and that a find is found."""

import os
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from config.load import ConfigurationError, load_settings
from tests.fuzz.__main__ import TARGETS, main
from tests.fuzz.running import run_target
from tests.fuzz.tape import Tape
from tests.fuzz.target import CORPUS, Case, Target, kept_cases

COUNT = 500
# In CI the same cases each time: its verdict is on the change, not on luck.
SEED = 0 if "CI" in os.environ else secrets.randbelow(10**6)
WELL = ("job", "answered: succeeded", "read: all", "settings")
ENDS_MINIMUM = 3


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    with closing(TARGETS[request.param]()) as made:
        yield made


def test_every_case_of_the_corpus_ends_as_it_should(target: Target) -> None:
    """What was found once is not found again: no exception but the typed ones."""
    for name, case in kept_cases(target.folder).items():
        try:
            assert target.run(case)
        except Exception as error:
            error.add_note(f"It is {target.folder}/{name}.json of the corpus, in the target {target.name}.")
            raise


def test_cases_that_nobody_thought_of_end_as_they_should(target: Target) -> None:
    """As `make fuzz` runs 100,000 of them."""
    tally = run_target(target, COUNT, SEED)

    assert tally.find is None, f"{target.name}, seed {SEED}: {tally.find}\n{tally.trace}"
    assert tally.count == COUNT
    # it would show little if all were refused at their first character
    assert any(end.startswith(WELL) for end in tally.ends)
    assert len(tally.ends) >= ENDS_MINIMUM


class Planted:
    """A target that fails at a capital Z."""

    name = "planted"
    folder = "planted"

    def make(self, tape: Tape) -> Case:
        """Some letters."""
        return {"text": tape.text(20)}

    def run(self, case: Case) -> Counter[str]:
        """Fail, or not."""
        if "Z" in case["text"]:
            raise ZeroDivisionError(case["text"])
        return Counter(["well"])

    def close(self) -> None:
        """There is nothing to close."""


def test_a_find_is_made_small_told_and_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 1, and the file holds no more than what is to blame."""
    monkeypatch.setitem(TARGETS, "planted", Planted)

    assert main(["planted", "--messages", "1000", "--seed", "1", "--corpus", str(tmp_path)]) == 1

    told = capsys.readouterr().out
    assert "1 find" in told
    assert "ZeroDivisionError" in told
    (case,) = kept_cases("planted", tmp_path).values()
    assert case["text"].endswith("Z")
    assert len(case["text"]) <= len("aZ")


def test_a_run_without_a_find_tells_its_seed_and_its_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same seed makes the same cases."""
    lines = []
    for seed in ("5", "5", "6"):
        assert main(["configuration", "--messages", "100", "--seed", seed]) == 0
        told = capsys.readouterr().out
        assert f"seed {seed}" in told
        lines.append(told.partition("no find; ")[2].partition("; at most")[0])

    assert lines[0] == lines[1]
    assert "settings" in lines[0]


def test_every_case_of_the_corpus_is_named_by_what_it_shows() -> None:
    """A find keeps its number only until somebody has understood it."""
    assert [path.name for path in CORPUS.rglob("found-*")] == []
    assert {path.parent.name for path in CORPUS.rglob("*.json")} == {"letters", "rows", "configuration"}


@pytest.mark.parametrize("value", ['"36501d"', '"1e3d"', '"876001h"'])
def test_no_duration_is_longer_than_a_hundred_years(tmp_path: Path, value: str) -> None:
    """Added to a date it would be beyond the calendar, and each message would fail by it."""
    file = tmp_path / "config.toml"
    queues = {name: f"sqs://{name}" for name in ("response", "failure")}
    lines = [f'{name} = "{url}"' for name, url in queues.items()]
    file.write_text(
        "\n".join(["[queues]", 'request = ["sqs://jobs"]', *lines, "[inbox]", f"retention = {value}"])
    )

    with pytest.raises(ConfigurationError, match=r"inbox\.retention: expected a duration"):
        load_settings(file, {})
