"""The demo from its beginning to its end: build, send, run the worker, look, prove, report."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from config.settings import Settings
from worker.cli.output import print_line
from worker.demo.desk import Desk
from worker.demo.findings import look
from worker.demo.place import Place, make_place
from worker.demo.proof import prove
from worker.demo.queues import DemoQueues, check_server
from worker.demo.report import print_report, print_verdicts, print_ways_on
from worker.demo.stage import build, send
from worker.demo.stream import Sent, make_stream
from worker.demo.worker_process import Pace, running_worker, wait_until_settled
from worker.transports.factory import open_transport


def run_demo(directory: Path, queues: DemoQueues | None = None) -> bool:
    """Run the demo in the directory, and print what came of it; whether every proof holds.

    Its queues are embedded in the directory, or those that are given.

    Raises:
        DirectoryTaken: the directory holds what no demo made.
        DemoFailed: it could not be carried to its end.
        TransportError: the broker does not take the queues or a message.
        OSError: the directory cannot be written to.
    """
    if queues is not None:
        check_server(queues)
    place = make_place(directory, queues)
    settings = build(place)
    stream = make_stream(Desk(place.bucket))
    print_line(
        f"Made {place.directory}: 3 queues, {len(settings.shards)} SQLite shards, a bucket, config.toml."
    )
    pace = _work_off(place, settings, stream)
    findings = look(settings)
    print_report(stream, findings, pace)
    proved = print_verdicts(prove(stream, findings))
    print_ways_on(place, stream, findings)
    return proved


def _work_off(place: Place, settings: Settings, stream: Sequence[Sent]) -> Pace:
    """Send the messages, and run the worker until all are settled and it has left in good order."""
    queues = settings.queues
    with closing(open_transport(queues.request[0], queues, settings.worker.lease)) as requests:
        send(requests, stream)
        print_line(f"Sent {len(stream)} messages, some of them copies, some of them bad. The worker begins.")
        with running_worker(place) as process, _progress() as progress:
            task = progress.add_task("settled", total=len(stream))
            return wait_until_settled(
                process, place.state, len(stream), lambda settled: progress.update(task, completed=settled)
            )


def _progress() -> Progress:
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)
