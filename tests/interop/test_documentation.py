"""The page about Symfony shows what these tests run."""

from tests.support.symfony_application import APPLICATION
from tests.support.symfony_site import SYMFONY
from tests.support.world import ROOT

PAGE = (ROOT / "docs" / "symfony.md").read_text(encoding="utf-8")


def test_the_classes_are_the_application_s() -> None:
    """Whoever copies them has what was tested."""
    classes = (APPLICATION / "messages.php").read_text(encoding="utf-8").partition("namespace ")[2]
    assert f"```php\nnamespace {classes.strip()}\n```" in PAGE


def test_the_configuration_is_the_worker_s() -> None:
    """And what reads and writes them."""
    assert f"```toml\n{SYMFONY.strip()}\n```" in PAGE
