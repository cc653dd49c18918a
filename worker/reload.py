"""Takes a changed configuration while jobs run: what can change does, and what needs a restart is named."""

from collections.abc import Callable

import structlog

from config.changes import Changes, take_changes
from config.load import ConfigurationError, LoadedSettings
from config.settings import Settings
from shards.engines import BadShardUrl
from worker.assembly import Assembly
from worker.lane_rules import lane_rules
from worker.logs import set_level
from worker.options import ConsumeOptions
from worker.signing_jobs import JobSignatures
from worker.signing_keys import SignKeyUnusable

Load = Callable[[], LoadedSettings]
"""Reads the configuration anew; raises `ConfigurationError`."""

log = structlog.get_logger()


class Reloader:
    """Changes what a running process goes by. `set_concurrency` starts worker threads, or lets some end.

    `settings` are those in force, `note` says in a few words what of the last change is not.
    """

    def __init__(
        self,
        assembly: Assembly,
        settings: Settings,
        options: ConsumeOptions,
        load: Load,
        set_concurrency: Callable[[int], None],
    ) -> None:
        self._assembly = assembly
        self._options = options
        self._load = load
        self._set_concurrency = set_concurrency
        self.settings = settings
        self.note = ""

    def reload(self) -> None:
        """Read the configuration and take what changed; one that is faulty changes nothing. Never raises."""
        try:
            loaded = self._load()
            changes = take_changes(self.settings, loaded.settings)
            signatures = JobSignatures(changes.settings.signing, changes.settings.symfony)
            # New shards can still be found faulty: before anything else has changed.
            self._assembly.shards.apply(changes.settings.shards, changes.settings.servers)
        except (ConfigurationError, BadShardUrl, SignKeyUnusable) as error:
            self._refuse(error)
            return
        self._assembly.signatures.become(signatures)
        self._apply(changes.settings)
        self._tell(loaded, changes)
        set_level(changes.settings.logging.level)

    def _apply(self, settings: Settings) -> None:
        assembly = self._assembly
        self.settings = settings
        threads = self._options.concurrency or settings.worker.concurrency
        # Shards before customers: a part may come for a new one at once.
        assembly.lanes.apply(lane_rules(settings, assembly.shards, threads))
        assembly.limited.apply(settings)
        assembly.directory.apply(settings)
        for part in (assembly.intake, assembly.router, assembly.executor):
            part.apply(settings)
        self._set_concurrency(threads)

    def _refuse(self, error: ConfigurationError | BadShardUrl | SignKeyUnusable) -> None:
        problems = list(error.problems) if isinstance(error, ConfigurationError) else [str(error)]
        self.note = "the changed configuration is faulty and not in force"
        log.error("config.refused", problems=problems, msg="Correct it and reload, nothing changed so far.")

    def _tell(self, loaded: LoadedSettings, changes: Changes) -> None:
        waiting = changes.needs_restart
        self.note = f"needs a restart: {', '.join(waiting)}" if waiting else ""
        tell = log.warning if waiting else log.info
        tell(
            "config.reloaded",
            file=str(loaded.path),
            changed=list(changes.changed),
            needs_restart=list(waiting),
        )
        for warning in loaded.warnings:
            log.warning("config.warning", msg=warning, file=str(loaded.path))
