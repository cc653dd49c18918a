"""Credentials in text, hidden: the one place that knows how they look inside a URL."""

import re
from typing import Final

MASK: Final = "***"
# Greedy up to the last `@`: a password that was not percent-encoded may hold `/`, `:` and `@` itself.
URL_PASSWORD: Final = re.compile(r"(//[^\s/@:]*:)\S*(?=@)")
QUERY_PASSWORD: Final = re.compile(
    r"([?&][a-z_]*(?:password|passwd|secret|token|key)=)[^&\s]*", re.IGNORECASE
)


def mask_credentials(text: str) -> str:
    """The text with the passwords of the URLs in it replaced by `***`; users and hosts stay."""
    if "//" not in text:
        return text
    return QUERY_PASSWORD.sub(rf"\1{MASK}", URL_PASSWORD.sub(rf"\1{MASK}", text))


def holds_password(url: str) -> bool:
    """Whether the URL carries a password, before its host or in its query."""
    return URL_PASSWORD.search(url) is not None or QUERY_PASSWORD.search(url) is not None
