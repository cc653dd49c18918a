"""The section `[symfony]`: which of Symfony's messages are which jobs, and what its applications get from us."""

from config.section import Section


class SymfonyMessage(Section):
    r"""`[symfony.messages."App\\Message\\ImportJob"]`: how the messages of a class are read as jobs."""

    type: str | None = None
    fields: dict[str, str] = {}
    constants: dict[str, str] = {}


class Symfony(Section):
    r"""`[symfony]`: class names as job types, fields of messages as fields of jobs.

    A class is named in full or by its namespace, `App\Message\*`; the longest match wins.
    """

    types: dict[str, str] = {}
    fields: dict[str, str] = {}
    constants: dict[str, str] = {}
    messages: dict[str, SymfonyMessage] = {}
