"""`shardworker answer`: a job's final result made again from the inboxes, and sent again."""

from contextlib import ExitStack
from typing import Annotated

import typer

from config.settings import Settings
from worker.cli.answer_gone import with_gone
from worker.cli.answer_rows import find_rows, rebuilt
from worker.cli.common import ConfigOption, JsonOption, open_queue, open_settings, open_store
from worker.cli.errors import CommandError
from worker.cli.output import print_line
from worker.clock import Clock
from worker.conclusion import Answer
from worker.envelope import Identity
from worker.letters import TooLarge, open_letters
from worker.ordering import repeated_result
from worker.symfony.signatures import Signatures

INSTANCE = "shardworker answer"


def answer(
    job_id: Annotated[str, typer.Argument(metavar="JOB_ID", help="The job's id, as `submit` printed it.")],
    *,
    run: Annotated[
        int | None,
        typer.Option("--run", min=1, show_default=False, help="The run to answer; without it the highest."),
    ] = None,
    gone: Annotated[
        list[str] | None,
        typer.Option(
            "--gone",
            metavar="CUSTOMER",
            show_default=False,
            help="A customer of the job who is gone; each of them, in the job's order.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the result, and send nothing.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a job's final result again from the inboxes, and send it to the response queue.

    For a result that got lost behind the response queue. Nothing is run. The result is the one that the
    worker sent, but for its two times: the front door drops it if it has it already.

    Refused while a part has no outcome: the worker answers when it has. The parts of customers who are gone
    left no row: name them with --gone, and they are answered if the directory says so.

    With --json the result is printed.
    """
    settings = open_settings(config).settings
    rows, troubles = find_rows(settings, job_id)
    identity, final = rebuilt(job_id, with_gone(settings, rows, gone or (), run), run, troubles)
    if not dry_run:
        _send(settings, identity, final)
    if dry_run or as_json:
        typer.echo(final.body)
    else:
        count = len(identity.customer_ids)
        print_line(f"Sent the result of run {identity.run} again: {final.status}, {count} customers.")


def _send(settings: Settings, identity: Identity, final: Answer) -> None:
    with ExitStack() as stack:
        queue = stack.enter_context(open_queue(settings.queues.response, settings))
        store = stack.enter_context(open_store(settings))
        letters = open_letters(settings, store, INSTANCE, Clock(), Signatures(settings.symfony))
        try:
            result = letters.result(queue, final.body, identity)
            faults = queue.send([repeated_result(queue, result, identity)])
        except TooLarge as error:
            raise CommandError(str(error)) from error
        if faults:
            raise CommandError(f"The result was not accepted by {queue.name}: {faults[0].message}")
