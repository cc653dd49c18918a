"""`shardworker check`: what is right and what is wrong with the configuration and all that it names."""

from collections import Counter
from collections.abc import Iterator
from typing import Final, NoReturn

import typer

from worker.cli.common import ConfigOption, JsonOption, open_settings
from worker.cli.errors import EXIT_ERROR
from worker.cli.finding import Finding
from worker.cli.findings import find_all
from worker.cli.output import print_json, print_line, print_table

RIGHT_MAXIMUM: Final = 20


def check(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check the configuration and everything it names: queues, buckets, shards, inbox tables, handlers.

    Nothing is changed. Exit status 1 if anything is wrong; what is only doubtful is a warning.
    """
    print_findings(list(find_all(open_settings(config))), as_json=as_json)


def print_findings(findings: list[Finding], *, as_json: bool) -> NoReturn:
    """Print what was found, and leave with the status that it means."""
    wrong = sum(finding.state == "wrong" for finding in findings)
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        _print(findings, wrong)
    raise typer.Exit(EXIT_ERROR if wrong else 0)


def _print(findings: list[Finding], wrong: int) -> None:
    print_table(("what", "name", "state", "what is wrong and what to do"), _shortened(findings))
    warnings = sum(finding.state == "warning" for finding in findings)
    print_line(f"{wrong} wrong, {warnings} doubtful." if wrong or warnings else "All is right.")


def _shortened(findings: list[Finding]) -> Iterator[Finding]:
    """The findings with one line for an area of which too many are right: thousands of schemas, say."""
    right = Counter(finding.area for finding in findings if finding.state == "right")
    counted: set[str] = set()
    for finding in findings:
        if finding.state != "right" or right[finding.area] <= RIGHT_MAXIMUM:
            yield finding
        elif finding.area not in counted:
            counted.add(finding.area)
            yield finding._replace(name=f"{right[finding.area]} of them")
