"""The version that runs."""

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str | None:
    """The version of the installed package; None in a checkout that is not installed."""
    try:
        return version("shardworker")
    except PackageNotFoundError:
        return None
