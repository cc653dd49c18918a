"""The page about Symfony shows what these tests run."""

import re

import pytest

from tests.support.symfony_application import APPLICATION
from tests.support.symfony_site import SYMFONY
from tests.support.world import ROOT

PAGE = (ROOT / "docs" / "symfony.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```php\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
CLASSES = re.findall(
    r"^final class .*?^}",
    (APPLICATION / "messages.php").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)


@pytest.mark.parametrize("text", CLASSES)
def test_the_message_classes_are_the_application_s(text: str) -> None:
    """Whoever copies one has what was tested."""
    assert any(text in program for program in PROGRAMS)


def test_the_configuration_is_the_worker_s() -> None:
    """And what reads and writes them."""
    assert f"```toml\n{SYMFONY.strip()}\n```" in PAGE
