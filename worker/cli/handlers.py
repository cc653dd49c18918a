"""`shardworker handlers`: which job types are handled, and by what."""

from typing import Any

from config.settings import Settings
from config.symfony import Symfony
from handlers.registry import HandlerSpec, load_registry
from worker.cli.common import ConfigOption, JsonOption, open_settings
from worker.cli.output import print_json, print_line, print_table

COLUMNS = ("type", "payload", "source", "what it does", "Symfony's classes")


def handlers(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the job types that this worker handles, and the middleware around each handler.

    Mirrors `debug:messenger`.

    Handlers come from [handlers] modules, from installed packages and from [[handlers.insert]]. The classes
    are those that [symfony] maps to the type. Middleware is listed with the outermost first.
    """
    settings = open_settings(config).settings
    registry = load_registry(settings.handlers)
    entries = [_entry(spec, settings) for spec in registry.values()]
    if as_json:
        print_json(entries)
    elif entries:
        print_table(COLUMNS, [_row(entry) for entry in entries])
        print_line(f"Middleware: {', '.join(_middleware(settings)) or 'none'}.")
    else:
        print_line(
            "No job type is handled: name modules in [handlers] modules, or add a [[handlers.insert]]."
        )


def _entry(spec: HandlerSpec, settings: Settings) -> dict[str, Any]:
    return {
        "type": spec.job_type,
        "model": _model_name(spec.model),
        "source": spec.source,
        "summary": spec.summary,
        "classes": _classes(settings.symfony, spec.job_type),
        "middleware": _middleware(settings),
    }


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    return (*(entry[name] for name in ("type", "model", "source", "summary")), ", ".join(entry["classes"]))


def _classes(symfony: Symfony, job_type: str) -> list[str]:
    """The classes, or namespaces with a `*`, whose messages are jobs of this type."""
    named = {name: message.type for name, message in symfony.messages.items() if message.type is not None}
    return sorted(name for name, mapped in {**symfony.types, **named}.items() if mapped == job_type)


def _middleware(settings: Settings) -> list[str]:
    return list(settings.handlers.middleware)


def _model_name(model: Any) -> str:
    return "any" if model is Any else getattr(model, "__qualname__", str(model))
