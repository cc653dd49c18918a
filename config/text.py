"""Text forms that wire models share: patterns that hold in Python's and in JSON Schema's regular expressions."""

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
