"""`shardworker shards migrate`: the worker's own tables brought to this release's version, everywhere."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Annotated, Literal, NamedTuple

import typer

from config.settings import Settings
from shards.engines import Shard, Shards
from shards.migration_steps import LATEST_VERSION
from shards.migrations import Migrated, Step, find_version, migrate, plan, script
from worker.cli.common import ConfigOption, JsonOption, open_settings
from worker.cli.errors import CommandError
from worker.cli.every_place import (
    JobsOption,
    Question,
    ShardsArgument,
    ask_every,
    ask_with_progress,
    chosen_places,
)
from worker.cli.output import print_json, print_line
from worker.cli.places import place_name


class Line(NamedTuple):
    """What became of one place; `error` says why nothing did."""

    place: str
    old: int | None
    new: int | None
    milliseconds: int
    error: str | None = None

    def __str__(self) -> str:
        if self.error:
            return f"{self.place}: failed: {self.error}"
        change = f"version {self.new}, as before" if self.old == self.new else f"{self.old} -> {self.new}"
        return f"{self.place}: {change} ({self.milliseconds} ms)"


def migrate_shards(
    names: ShardsArgument = None,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; say what is behind, with status 1 if any is.")
    ] = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="Change nothing; print the SQL that would be run, for each place.")
    ] = False,
    dialect: Annotated[
        Literal["postgresql", "mariadb", "sqlite"] | None,
        typer.Option("--dialect", help="With --sql: ask no shard, print all there is for this database."),
    ] = None,
    jobs: JobsOption = 8,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the worker's own tables to this release's version, on all shards at once.

    Run it with the new release before its workers start. Workers of the release before go on meanwhile:
    a version only ever adds. It can be run again at any time, and goes on where a run was broken off. A
    worker of the new release leaves a shard alone that is behind, as if it were away, until it is migrated.

    The tables are shardworker_inbox, shardworker_placement and shardworker_version, in each schema that
    customers live in. Your own tables are never touched. Where the worker's user may not create tables, give
    the output of --sql to somebody who may.
    """
    if dialect:
        if not sql:
            raise typer.BadParameter("--dialect needs --sql.")
        _print_script(f"a new place on {dialect}", 0, script(dialect))
        return
    settings = open_settings(config).settings
    if sql:
        _print_plans(settings, names or [], jobs)
    else:
        question = _version if check else migrate
        _report(list(_lines(settings, names or [], question, jobs, quiet=as_json)), as_json=as_json)


def _version(shard: Shard, schema: str | None) -> Migrated:
    version = find_version(shard, schema)
    return Migrated(version, version)


def _lines(
    settings: Settings, names: Sequence[str], question: Question[Migrated], jobs: int, *, quiet: bool
) -> Iterator[Line]:
    """A line for each place, printed as it comes unless `quiet`."""
    for answer in ask_with_progress(settings, names, question, jobs=jobs):
        old, new = answer.value or (None, None)
        line = Line(place_name(answer.place), old, new, answer.milliseconds, answer.error)
        if not quiet:
            print_line(str(line))
        yield line


def _report(lines: Sequence[Line], *, as_json: bool) -> None:
    """The end of it: JSON, or how many there were; what failed or is behind makes the status 1."""
    failed = [f"{line.place}: {line.error}" for line in lines if line.error]
    behind = [line for line in lines if line.new is not None and line.new < LATEST_VERSION]
    if as_json:
        print_json([line._asdict() for line in lines])
    else:
        print_line(
            f"{len(lines)} places: {len(failed)} failed, {len(behind)} behind version {LATEST_VERSION}."
        )
    if behind:
        failed.append(f"{len(behind)} places are behind: run `shardworker shards migrate`.")
    if failed:
        raise CommandError("\n".join(failed))


def _print_plans(settings: Settings, names: Sequence[str], jobs: int) -> None:
    troubles: list[str] = []
    shards = Shards(settings.shards)
    with closing(shards):
        for answer in ask_every(shards, chosen_places(settings, names), plan, jobs=jobs):
            if answer.value is None:
                troubles.append(f"{place_name(answer.place)}: {answer.error}")
            else:
                shard = shards.get(answer.place.shard)
                _print_script(f"{place_name(answer.place)} ({shard.dialect})", *answer.value)
    if troubles:
        raise CommandError("\n".join(troubles))


def _print_script(where: str, version: int, steps: Sequence[Step]) -> None:
    """The statements as a script, with what they are for as comments."""
    print_line(f"-- {where}: version {version}, {'to migrate' if steps else 'nothing to do'}")
    for step in steps:
        typer.echo(f"-- version {step.version}")
        for statement in step.statements:
            typer.echo(f"{statement};")
