"""How a command fails: expected errors as a line each on stderr, and the exit status that tells the kind."""

from typing import Any, Final

import typer
from typer.core import TyperGroup

EXIT_ERROR: Final = 1
EXIT_CONFIGURATION: Final = 78


class CommandError(Exception):
    """A command cannot do what was asked. The message is one line: what happened and what to do."""


SYMFONY_COMMANDS: Final = {
    "messenger:consume": "shardworker consume",
    "messenger:stop-workers": "shardworker stop-workers",
    "messenger:setup-transports": "shardworker setup",
    "messenger:stats": "shardworker stats",
    "messenger:failed:show": "shardworker failed list` or `shardworker failed show ID",
    "messenger:failed:retry": "shardworker failed retry",
    "messenger:failed:remove": "shardworker failed remove",
    "debug:messenger": "shardworker handlers",
}


class CommandGroup(TyperGroup):
    """The group of all commands: knows Symfony's names, and tells expected errors without a traceback."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of this name; for Symfony's name of it, a usage error that tells ours."""
        if ours := SYMFONY_COMMANDS.get(args[0]):
            ctx.fail(f"{args[0]} is Symfony's name; here it is `{ours}`.")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an expected error becomes lines on stderr and an exit status."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            status = exit_status(error)
            if status is None:
                raise
            for line in str(error).splitlines():
                typer.echo(f"shardworker: {line}", err=True)
            raise typer.Exit(status) from error


def exit_status(error: Exception) -> int | None:
    """The status to leave with after this error; None where it is not expected."""
    if isinstance(error, _configuration_errors()):
        return EXIT_CONFIGURATION
    return EXIT_ERROR if isinstance(error, _run_errors()) else None


def _configuration_errors() -> tuple[type[Exception], ...]:
    # Imported only after an error: `--help` should not wait for SQLAlchemy.
    from config.load import ConfigurationError
    from handlers.registry import HandlerLoadFailed
    from shards.directory_function import DirectoryImportFailed
    from shards.engines import BadShardUrl, UnknownShard
    from shards.open_directory import NoCatalog
    from worker.middleware_names import MiddlewareImportFailed
    from worker.transports.factory import BadQueueUrl

    return (
        ConfigurationError,
        HandlerLoadFailed,
        MiddlewareImportFailed,
        BadShardUrl,
        UnknownShard,
        DirectoryImportFailed,
        NoCatalog,
        BadQueueUrl,
    )


def _run_errors() -> tuple[type[Exception], ...]:
    from config.job import BadMessage
    from shards.directory import DirectoryUnavailable
    from worker.attachments import AttachmentsUnavailable
    from worker.objects import ObjectError
    from worker.signing_keys import SignKeyUnusable
    from worker.transports.base import TransportError

    return (
        CommandError,
        BadMessage,
        DirectoryUnavailable,
        AttachmentsUnavailable,
        ObjectError,
        SignKeyUnusable,
        TransportError,
    )
