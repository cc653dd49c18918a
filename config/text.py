"""Text forms that wire models share: patterns that mean the same in Python and in JSON Schema."""

from typing import Final

# Python's `$` also matches before a trailing newline; the lookahead refuses that one.
END: Final = r"$(?!\n)"

JOB_ID: Final = r"^[0-9A-Za-z_][0-9A-Za-z_.-]{0,59}" + END
PARTNER_ID: Final = r"^[0-9A-Za-z_-]{1,64}" + END
CUSTOMER_ID: Final = r"^[!-~]{1,128}" + END
JOB_TYPE: Final = r"^[!-~]{1,255}" + END
SHA256: Final = r"^[0-9A-Fa-f]{64}" + END
CORRELATION_ID: Final = r"^[^\x00-\x1f\x7f]{1,255}" + END
ATTACHMENT_NAME: Final = r"^(?!\.{1,2}$)[^/\\\x00-\x1f\x7f]{1,255}" + END
# RFC 3339 with a time zone; whether the month has that day, no pattern can say.
TIMESTAMP: Final = (
    r"^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])" + END
)


def clip(text: str, characters_maximum: int) -> str:
    """The text's beginning, without what UTF-8 cannot carry: safe in any message and within its limits."""
    return text[:characters_maximum].encode("utf-8", "replace").decode("utf-8")
