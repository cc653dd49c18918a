"""Loading the configuration: where it comes from, what overrides it, and how mistakes are told."""

import json
import re
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.load import ConfigurationError, LoadedSettings, effective, find_path, load_settings
from config.rate_limits import FORM
from config.settings import Settings

SAMPLE = Path(__file__).parents[2] / "config" / "samples" / "config.toml"
DURATION = "a duration such as '30s', '10m' or '14d'"
SIZE = "a size such as '512KiB', '10MiB' or '2GB'"
QUEUES = """
[queues]
request = ["sqs://jobs"]
response = "sqs://results"
failure = "sqs://failures"
"""


def load(tmp_path: Path, text: str, **environment: str) -> LoadedSettings:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, environment)


def problems(tmp_path: Path, text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, text, **environment)
    return list(raised.value.problems)


def test_the_sample_file_loads_without_a_warning() -> None:
    """What a newcomer copies is a configuration that the worker starts with."""
    loaded = load_settings(SAMPLE, {})

    assert tuple(loaded.settings.shards) == ("eu1", "eu2")
    assert loaded.warnings == ()


def test_what_the_sample_file_comments_out_is_the_default() -> None:
    """A commented line in the sample shows what holds without it."""
    text = SAMPLE.read_text(encoding="utf-8")
    shown = re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE)

    assert shown != text
    assert Settings.model_validate(tomllib.loads(shown)) == Settings.model_validate(tomllib.loads(text))


def test_the_file_is_the_given_one_then_the_variable_then_the_default(tmp_path: Path) -> None:
    """--config wins over SHARDWORKER_CONFIG, which wins over /etc."""
    given_path = tmp_path / "given.toml"

    assert find_path(given_path, {"SHARDWORKER_CONFIG": "/other.toml"}) == given_path
    assert find_path(None, {"SHARDWORKER_CONFIG": "/other.toml"}) == Path("/other.toml")
    assert find_path(None, {}) == Path("/etc/shardworker/config.toml")


def test_a_missing_file_says_how_to_name_one(tmp_path: Path) -> None:
    """The error names the path and both ways to give another."""
    with pytest.raises(
        ConfigurationError, match=r"no such file; name one with --config or SHARDWORKER_CONFIG"
    ):
        load_settings(tmp_path / "none.toml", {})


def test_a_directory_and_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    """What cannot be read as a file of UTF-8 is an error of the configuration, not a traceback."""
    path = tmp_path / "config.toml"
    path.write_bytes(b"x = '\xff'")

    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path, {})
    with pytest.raises(ConfigurationError, match="expected UTF-8, found another byte at position 5"):
        load_settings(path, {})


def test_a_mistake_in_the_toml_is_told_with_its_line(tmp_path: Path) -> None:
    """The parser's own message names line and column."""
    assert "line 2" in problems(tmp_path, "[queues]\nrequest =\n")[0]


def test_what_is_no_rate_is_told_with_what_would_be_one(tmp_path: Path) -> None:
    """For all and for one by its name."""
    text = f'{QUEUES}[rate_limits]\nqueue = "fast"\npartners = {{ acme = 5 }}'

    assert [problem.removesuffix(" (config.toml)") for problem in problems(tmp_path, text)] == [
        f'rate_limits.queue: expected {FORM}, found "fast"',
        f"rate_limits.partners.acme: expected {FORM}, found 5",
    ]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """One start tells every mistake: of form, of unknown keys, and across sections."""
    text = """
[queues]
request = ["sqs://jobs"]
response = "sqs://jobs"
failure = "sqs://failures"
[worker]
concurency = 4
[shards.eu1]
url = "sqlite:////data/eu1.db"
limit = "many"
[directory.customers]
"!" = "x"
"""
    told = [problem.removesuffix(" (config.toml)") for problem in problems(tmp_path, text)]

    assert told == [
        'worker.concurency: unknown key; did you mean "concurrency"?',
        'shards.eu1.limit: expected a whole number from 1 to 64, found "many"',
        'queues.response: expected a queue of its own, found "sqs://jobs", which is named twice',
        """directory.customers."!": expected a shard's name, found "x": unknown shard; expected one of eu1""",
    ]


@pytest.mark.parametrize(
    ("text", "place", "expected", "found"),
    [
        ("[worker]\nlease = 30", "worker.lease", f"{DURATION} of at least 1s", "30"),
        ("[worker]\ndrain = true", "worker.drain", DURATION, "true"),
        ("[worker]\nconcurrency = true", "worker.concurrency", "a whole number from 1 to 64", "true"),
        ("[worker]\nconcurrency = 1.0", "worker.concurrency", "a whole number from 1 to 64", "1.0"),
        ("[worker]\nconcurrency = 65", "worker.concurrency", "a whole number from 1 to 64", "65"),
        ("[attachments]\nmax_size = '1 mile'", "attachments.max_size", SIZE, '"1 mile"'),
        ("[logging]\nformat = 'xml'", "logging.format", 'one of "auto", "json", "text"', '"xml"'),
        ("[handlers]\nmodules = 'one'", "handlers.modules", "a list of texts", '"one"'),
        ("[types.'a.b']\ngroup = 0", 'types."a.b".group', "a whole number from 1 to 50", "0"),
        ("[directory.customers]\nc1 = 5", "directory.customers.c1", "a shard's name or a table", "5"),
        ("[worker]\nstate_directory = 7", "worker.state_directory", "an absolute path", "7"),
        (
            "[[handlers.insert]]\ntype = 'x'",
            "handlers.insert[0].table",
            "text",
            "nothing; this key is required",
        ),
        ("[logging]\nlevel = {}", "logging.level", 'one of "debug", "info", "warning", "error"', "a table"),
    ],
)
def test_a_wrong_value_is_told_with_its_path_what_was_expected_and_what_was_found(
    tmp_path: Path, text: str, place: str, expected: str, found: str
) -> None:
    """Each kind of value has its own words for what it may be."""
    problem = f"{place}: expected {expected}, found {found} (config.toml)"

    assert problems(tmp_path, f"{QUEUES}\n{text}") == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("wrker = 1", 'wrker: unknown key; did you mean "worker"? (config.toml)'),
        ("worker = 1", "worker: expected a table, found 1 (config.toml)"),
    ],
)
def test_a_wrong_section_is_told_with_its_name(tmp_path: Path, text: str, problem: str) -> None:
    """The first level is checked as the others are."""
    assert problems(tmp_path, f"{text}\n{QUEUES}") == [problem]


def test_a_missing_section_is_told_beside_the_other_problems(tmp_path: Path) -> None:
    """What cannot be built at all still does not hide what else is wrong."""
    assert problems(tmp_path, "[worker]\nlease = 5") == [
        "queues: expected a table, found nothing; this key is required (config.toml)",
        f"worker.lease: expected {DURATION} of at least 1s, found 5 (config.toml)",
    ]


def test_an_unknown_key_that_resembles_nothing_lists_what_there_is(tmp_path: Path) -> None:
    """Without a near miss, the known keys of that section are named."""
    (problem,) = problems(tmp_path, f"{QUEUES}\n[logging]\nzzz = 1")

    assert problem == "logging.zzz: unknown key; expected one of format, level (config.toml)"


def test_no_password_stands_in_a_problem(tmp_path: Path) -> None:
    """A URL that is wrong is shown without its password, even one with an @ in it."""
    text = f"{QUEUES}\n[shards.eu1]\nurl = 'oracle://user:hunter2@x@host/db?password=hunter3'"
    (problem,) = problems(tmp_path, text)

    assert "hunter" not in problem
    assert "oracle://user:***@host/db?password=***" in problem


def test_the_value_of_an_unknown_key_is_not_shown(tmp_path: Path) -> None:
    """A misspelt password key must not print the password."""
    (problem,) = problems(tmp_path, f"{QUEUES}\n[shards.eu1]\nurl = 'sqlite:////x.db'\npasswort = 'hunter2'")

    assert "hunter2" not in problem


class TestOverrides:
    def test_a_variable_overrides_a_key_of_the_file(self, tmp_path: Path) -> None:
        """SHARDWORKER__SECTION__KEY wins, and is named among the overrides."""
        loaded = load(
            tmp_path, f"{QUEUES}\n[worker]\nconcurrency = 2", SHARDWORKER__WORKER__CONCURRENCY="4", HOME="/x"
        )

        assert loaded.settings.worker.concurrency == 4
        assert loaded.overrides == ("SHARDWORKER__WORKER__CONCURRENCY",)

    def test_lists_and_tables_are_json(self, tmp_path: Path) -> None:
        """A value that opens like JSON is JSON and replaces the whole value of the file."""
        loaded = load(
            tmp_path,
            QUEUES,
            SHARDWORKER__QUEUES__REQUEST='["sqs://other"]',
            SHARDWORKER__TYPES='{"orders.insert": {"timeout": "1m"}}',
        )

        assert loaded.settings.queues.request == ["sqs://other"]
        assert loaded.settings.types["orders.insert"].timeout.total_seconds() == 60

    def test_a_key_in_capitals_in_the_file_is_found(self, tmp_path: Path) -> None:
        """Variables are in capitals; names in the file keep their own."""
        loaded = load(
            tmp_path,
            f"{QUEUES}\n[shards.Main]\nurl = 'sqlite:////a.db'",
            SHARDWORKER__SHARDS__MAIN__URL="sqlite:////b.db",
        )

        assert loaded.settings.shards["Main"].url == "sqlite:////b.db"

    def test_a_whole_section_comes_before_a_key_in_it(self, tmp_path: Path) -> None:
        """The key of a section that another variable replaces still wins, whatever the variables' order."""
        loaded = load(
            tmp_path, QUEUES, SHARDWORKER__WORKER__CONCURRENCY="3", SHARDWORKER__WORKER='{"concurrency": 9}'
        )

        assert loaded.settings.worker.concurrency == 3

    def test_an_empty_variable_changes_nothing(self, tmp_path: Path) -> None:
        """Shells and unit files often set a variable to nothing to unset it."""
        assert load(tmp_path, QUEUES, SHARDWORKER__WORKER__CONCURRENCY="").overrides == ()

    def test_a_problem_of_a_variable_names_the_variable(self, tmp_path: Path) -> None:
        """The one who reads the error looks in the right place."""
        (problem,) = problems(tmp_path, QUEUES, SHARDWORKER__WORKER__CONCURRENCY="many")

        assert problem.endswith('found "many" (SHARDWORKER__WORKER__CONCURRENCY)')

    def test_broken_json_is_told_without_its_text(self, tmp_path: Path) -> None:
        """The text of a variable may hold a password."""
        (problem,) = problems(tmp_path, QUEUES, SHARDWORKER__SHARDS='{"eu1": "hunter2"')

        assert problem == "SHARDWORKER__SHARDS: expected JSON, found a mistake at character 17"


class TestEffective:
    def test_no_customer_or_partner_is_named_by_the_rate_limits(self, tmp_path: Path) -> None:
        """There can be thousands, and their names are nobody's business in a log."""
        limits = '[rate_limits]\npartner = "100/s"\ncustomers = { c-9 = "1/s" }\npartners = { acme = "1/s" }'
        shown = effective(load(tmp_path, f"{QUEUES}{limits}").settings)["rate_limits"]

        assert shown == {"queue": "unlimited", "partner": "100/s", "customer": "unlimited", "queues": {}}

    def test_no_password_stands_in_the_effective_configuration(self, tmp_path: Path) -> None:
        """What is logged at start shows users and hosts, never passwords."""
        loaded = load(
            tmp_path,
            f"{QUEUES}\n[shards.eu1]\nurl = 'postgresql://me:hunter2@host/db'\n"
            "[shards.eu2]\nurl = 'mysql://me@host/db'\npassword_file = '/run/secret'",
        )
        text = json.dumps(effective(loaded.settings))

        assert "hunter2" not in text
        assert "postgresql://me:***@host/db" in text
        assert '"password_file": "/run/secret"' in text

    def test_customers_and_partners_are_counted(self) -> None:
        """Thousands of customers must not fill the start line."""
        shown = effective(load_settings(SAMPLE, {}).settings)

        assert (shown["customer_count"], shown["partner_count"]) == (3, 1)
        assert "c-1001" not in json.dumps(shown)

    def test_durations_stand_as_the_file_writes_them(self) -> None:
        """The line can be compared with the file by eye."""
        assert effective(load_settings(SAMPLE, {}).settings)["worker"]["lease"] == "2m"


@given(st.dictionaries(st.text("AbZ_1é.", max_size=12), st.text(max_size=12), max_size=4))
def test_whatever_the_variables_hold_loading_gives_settings_or_problems(variables: dict[str, str]) -> None:
    """No variable's name or value makes loading fail in another way."""
    environment = {f"SHARDWORKER__{name}": value for name, value in variables.items()}

    with suppress(ConfigurationError):
        assert load_settings(SAMPLE, environment).settings.shards
