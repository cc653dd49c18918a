"""`credential:NAME`: where a password is, in a service and outside of one."""

from pathlib import Path

import pytest

from config.load import ConfigurationError, load_settings

FILE = """
[queues]
request = ["sqs://jobs"]
response = "sqs://results"
failure = "amqp://u@h/?queue=failures"
password_file = "credential:rabbitmq"

[directory.catalog]
url = "postgresql://u@h/catalog"
password_file = "credential:catalog"

[shards.eu1]
url = "postgresql://u@h/d"
password_file = "{password_file}"

[shards.eu2]
url = "postgresql://u@h/d"
"""


@pytest.mark.parametrize(
    ("environment", "eu1", "catalog", "broker"),
    [
        (
            {"CREDENTIALS_DIRECTORY": "/run/c"},
            *("/run/c/password_eu1", "/run/c/password_catalog", "/run/c/password_rabbitmq"),
        ),
        ({}, *(f"/etc/shardworker/passwords/{name}" for name in ("eu1", "catalog", "rabbitmq"))),
    ],
    ids=["service", "shell"],
)
def test_a_credential_is_found_in_a_service_and_in_a_shell(
    tmp_path: Path, environment: dict[str, str], eu1: str, catalog: str, broker: str
) -> None:
    """In a service it is what systemd handed over, in an operator's shell the file that it came from."""
    settings = load_settings(written(tmp_path, "credential:eu1"), environment).settings

    assert settings.queues.password_file == Path(broker)
    assert settings.shards["eu1"].password_file == Path(eu1)
    assert settings.shards["eu2"].password_file is None
    assert settings.directory.catalog is not None
    assert settings.directory.catalog.password_file == Path(catalog)


def test_a_credential_can_be_named_by_a_variable(tmp_path: Path) -> None:
    """An override is a value like any other."""
    variables = {"SHARDWORKER__SHARDS__EU2__PASSWORD_FILE": "credential:other.2"}
    settings = load_settings(written(tmp_path, "/run/any"), variables).settings

    assert settings.shards["eu1"].password_file == Path("/run/any")
    assert settings.shards["eu2"].password_file == Path("/etc/shardworker/passwords/other.2")


@pytest.mark.parametrize("name", ["credential:", "credential:../shadow", "credential:a/b", "Credential:eu1"])
def test_a_name_that_no_credential_has_is_a_problem(tmp_path: Path, name: str) -> None:
    """Neither a way out of the directory nor a slip is taken for a path."""
    with pytest.raises(ConfigurationError) as raised:
        load_settings(written(tmp_path, name), {})

    (problem,) = raised.value.problems
    assert problem == (
        "shards.eu1.password_file: expected an absolute path or credential:NAME, "
        f'found "{name}" (config.toml)'
    )


@pytest.mark.parametrize(
    "tables", ["queues = 7", "shards = 7", "[shards]\neu1 = 7", "directory = 7", "[directory]\ncatalog = 7"]
)
def test_what_is_no_table_is_told_as_everywhere(tmp_path: Path, tables: str) -> None:
    """A mistake of another kind in the sections that hold passwords stays a told mistake."""
    path = tmp_path / "config.toml"
    path.write_text(f"{tables}\n", encoding="utf-8")

    with pytest.raises(ConfigurationError) as raised:
        load_settings(path, {})

    assert any("expected a table" in problem for problem in raised.value.problems)


def written(tmp_path: Path, password_file: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(FILE.format(password_file=password_file), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("environment", "place"),
    [({"CREDENTIALS_DIRECTORY": "/run/c"}, "/run/c/password_"), ({}, "/etc/shardworker/passwords/")],
    ids=["service", "shell"],
)
def test_signing_keys_are_found_as_passwords_are(
    tmp_path: Path, environment: dict[str, str], place: str
) -> None:
    """Each of the lists, by a credential's name or by its path."""
    section = '[symfony]\nsign_key_files = ["credential:symfony", "/etc/old"]\n'
    section += '[signing]\nkey_files = ["credential:signing-2026-11", "/etc/older"]\n'
    path = tmp_path / "config.toml"
    path.write_text(FILE.format(password_file="/run/any") + section, encoding="utf-8")
    settings = load_settings(path, environment).settings

    assert settings.symfony.sign_key_files == [Path(f"{place}symfony"), Path("/etc/old")]
    assert settings.signing.key_files == [Path(f"{place}signing-2026-11"), Path("/etc/older")]


@pytest.mark.parametrize("value", ["7", '"credential:symfony"', "[7]", "{a = 1}"])
def test_keys_that_are_no_list_of_files_are_a_problem(tmp_path: Path, value: str) -> None:
    """A single name as well: the order says which key signs, so there is a list."""
    path = tmp_path / "config.toml"
    section = f"[symfony]\nsign_key_files = {value}\n"
    path.write_text(FILE.format(password_file="/run/any") + section, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"symfony\.sign_key_files"):
        load_settings(path, {})
