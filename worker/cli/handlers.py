"""`shardworker handlers`: which job types are handled, and by what."""

from typing import Any

from handlers.registry import HandlerSpec, load_registry
from worker.cli.common import ConfigOption, JsonOption, open_settings
from worker.cli.output import print_json, print_line, print_table


def handlers(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the job types that this worker handles.

    Mirrors `debug:messenger`.

    Handlers come from [handlers] modules, from installed packages and from [[handlers.insert]].
    """
    registry = load_registry(open_settings(config).settings.handlers)
    entries = [_entry(spec) for spec in registry.values()]
    if as_json:
        print_json(entries)
    elif entries:
        print_table(
            ("type", "payload", "source", "what it does"), [tuple(entry.values()) for entry in entries]
        )
    else:
        print_line(
            "No job type is handled: name modules in [handlers] modules, or add a [[handlers.insert]]."
        )


def _entry(spec: HandlerSpec) -> dict[str, Any]:
    return {
        "type": spec.job_type,
        "model": _model_name(spec.model),
        "source": spec.source,
        "summary": spec.summary,
    }


def _model_name(model: Any) -> str:
    return "any" if model is Any else getattr(model, "__qualname__", str(model))
