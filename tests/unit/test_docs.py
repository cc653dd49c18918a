"""The documents tell what is there: links, commands, settings, files and programs in them are checked."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool

from config.job import decode_job, encode_job, read_object, to_job
from config.load import load_settings
from config.problems import expectation_at
from config.settings import Settings
from handlers.testing import run_handler
from worker.cli import build_app
from worker.events import EVENTS

ROOT = Path(__file__).parents[2]
OURS = ("config", "handlers", "shards", "worker")
HIDDEN_OR_BUILT = re.compile(r"(^|/)(\.[^/]+|build|dist|demo|[^/]+\.egg-info)/")
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob("*.md")
    if not HIDDEN_OR_BUILT.search(path.relative_to(ROOT).as_posix())
)
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s]+)\)")
SECTION_AND_KEY = re.compile(r"`\[([^\]`\"][^\]`]*)\](?: ([a-z_]+))?`")
ABSOLUTE_PATH = re.compile(r"""(?:^|[\s("'`=])(/[A-Za-z][\w.-]*)""", re.MULTILINE)
READERS_OWN = {
    "/absolute",
    "/directory",
    "/etc",
    "/healthz",
    "/metrics",
    "/opt",
    "/path",
    "/readyz",
    "/run",
    "/status",
    "/usr",
    "/var",
}
CLOSED_PREFIXES = "config|ec2|handler|inbox|intake|job|lease|library|part|receive|settle|shard|worker"

every_document = pytest.mark.parametrize("name", DOCUMENTS)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, kind: str) -> list[str]:
    """The code blocks of this kind, such as `python`."""
    return [body for opened, body in FENCE.findall(read(name)) if opened.split(" ")[0] == kind]


def prose(name: str) -> str:
    return FENCE.sub("", read(name))


def slugs(name: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(name), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class TestLinks:
    @every_document
    def test_relative_links_lead_somewhere(self, name: str) -> None:
        """To a file of the repository, and to a heading that is in it."""
        for target in LINK.findall(prose(name)):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            found = (ROOT / name).parent.joinpath(path).resolve() if path else ROOT / name
            assert found.exists(), f"{name}: {target}"
            if anchor:
                assert anchor in slugs(found.relative_to(ROOT).as_posix()), f"{name}: {target}"

    def test_the_index_lists_every_document(self) -> None:
        """A page that the index does not name is found by nobody."""
        linked = set(LINK.findall(read("docs/README.md")))
        pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
        assert {page for page in pages if not any(link.startswith(page) for link in linked)} == set()


def shell_words(name: str) -> Iterator[list[str]]:
    """The words of each command in the document: of its shell blocks, and of commands named in its prose."""
    for body in blocks(name, "sh"):
        for line in _without_here_documents(body).replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words:
                end = words.index("|") if "|" in words else len(words)
                yield words[:end]
                words = words[end + 1 :]
    for line in re.findall(r"`((?:shardworker|make)(?: [^`\n]+)?)`", prose(name)):
        yield shlex.split(line)


def _without_here_documents(body: str) -> str:
    return re.sub(r"^(.*)<<'(\w+)'\n.*?^\2$", r"\1", body, flags=re.MULTILINE | re.DOTALL)


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words call, and what is left of them."""
    command: Any = typer.main.get_command(build_app())
    left = words[1:]
    while left and hasattr(command, "commands") and not left[0].startswith("-"):
        assert left[0] in command.commands, f"no such command: {shlex.join(words)}"
        command = command.commands[left.pop(0)]
    return command, left


class TestCommands:
    @every_document
    def test_commands_exist_with_their_options(self, name: str) -> None:
        """What is shown can be typed."""
        for words in shell_words(name):
            if words[:1] == ["shardworker"]:
                command, left = command_of(words)
                known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
                given = {word.partition("=")[0] for word in left if word.startswith("-") and word != "-"}
                assert given <= known, f"{name}: {shlex.join(words)}"

    @every_document
    def test_make_targets_exist(self, name: str) -> None:
        """In the Makefile, with a word of explanation."""
        targets = set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE))
        for words in shell_words(name):
            if words[:1] == ["make"]:
                asked = {word for word in words[1:] if "=" not in word and not word.startswith("-")}
                assert asked <= targets, f"{name}: {shlex.join(words)}"

    def test_the_readme_shows_the_two_commands(self) -> None:
        """One to see it work, one to see that it does."""
        shown = [words for words in shell_words("README.md") if words[0] == "make"]
        assert shown[:2] == [["make", "demo"], ["make", "test"]]

    def test_the_comparison_can_fail(self) -> None:
        """A command that is not there is noticed."""
        with pytest.raises(AssertionError, match="no such command"):
            command_of(["shardworker", "failed", "forget"])


class TestNames:
    @every_document
    def test_settings_exist(self, name: str) -> None:
        """`[section] key`, as the documents write them, is a place in the configuration."""
        for section, key in SECTION_AND_KEY.findall(prose(name)):
            steps = re.findall(r'"[^"]*"|[^.\[\]"]+', section)
            location: list[str | int] = [*steps, *([0] if section.startswith("[") else [])]
            place = [*location, key] if key else location
            assert expectation_at(Settings, tuple(place)), f"{name}: [{section}] {key}"

    @every_document
    def test_files_exist(self, name: str) -> None:
        """A file of the code that is named is there, under its path or at least under its name."""
        names = {
            path.name for folder in (*OURS, "tests", "examples") for path in (ROOT / folder).rglob("*.py")
        }
        for file in re.findall(r"`([\w/]+\.py)`", prose(name)):
            assert (
                (ROOT / file).exists()
                or ("/" not in file and file in names)
                or (ROOT / "worker" / file).exists()
            ), f"{name}: {file}"

    @every_document
    def test_names_in_the_code_are_names_of_the_code(self, name: str) -> None:
        """What stands as `snake_case` is a code, key, field, column or function that is still there."""
        known = {
            word
            for folder in (*OURS, "tests", "examples")
            for path in (ROOT / folder).rglob("*.py")
            for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))
        }
        named = set(re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", prose(name)))
        assert named <= known, f"{name}: {sorted(named - known)}"

    @every_document
    def test_log_events_exist(self, name: str) -> None:
        """An operator can search for each event that a document names."""
        named = set(re.findall(rf"`((?:{CLOSED_PREFIXES})\.[a-z_]+)`", prose(name)))
        files = {event for event in named if event.endswith((".py", ".toml", ".md", ".json"))}
        assert named - files <= set(EVENTS), name

    @every_document
    def test_no_path_of_a_developer_s_machine_is_named(self, name: str) -> None:
        """Absolute paths are those that a reader is meant to have."""
        assert set(ABSOLUTE_PATH.findall(read(name))) <= READERS_OWN, name
        assert not re.search(r"/home/\w|/Users/\w|/tmp/\w", read(name)), name


class TestPrograms:
    @every_document
    def test_python_compiles(self, name: str) -> None:
        """And is not older than the language."""
        for body in blocks(name, "python"):
            assert ast.parse(body, name).body

    @every_document
    def test_toml_can_be_read_and_a_whole_configuration_loaded(self, name: str, tmp_path: Path) -> None:
        """What is shown as a configuration would start a worker."""
        for body in blocks(name, "toml"):
            if "queues" in tomllib.loads(body):
                path = tmp_path / "config.toml"
                path.write_text(body, encoding="utf-8")
                loaded = load_settings(path, {})
                assert loaded.warnings == ()

    def test_the_readme_s_handler_runs_the_readme_s_job(self) -> None:
        """Both are copied before anything else is read."""
        names: dict[str, Any] = {}
        (program,) = blocks("README.md", "python")
        exec(compile(program, "README.md", "exec"), names)  # noqa: S102 - our own document
        fields = {"job_id": "readme", **read_object(*blocks("README.md", "json"))}
        job = decode_job(encode_job(to_job(fields)))
        engine = create_engine("sqlite://", poolclass=StaticPool)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE orders (order_no INTEGER PRIMARY KEY, note TEXT)"))
        run = run_handler(names["insert_orders"], job.payload, engine)
        engine.dispose()
        assert (run.error, run.result) == (None, {"inserted": 1})
        (configuration,) = blocks("README.md", "toml")
        granted = tomllib.loads(configuration)["partners"][job.partner_id]
        assert job.type in granted["types"]
        assert set(job.customer_ids) <= set(granted["customers"])

    def test_the_readme_is_short(self) -> None:
        """It is read to the end."""
        assert len(read("README.md").splitlines()) < 150
