"""What tests of the core share: a site in a directory, and no stacks of expected errors."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.core import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.fixture
def quiet() -> Iterator[None]:
    """Expected errors are not printed with their stacks, which takes a second each."""
    with capture_logs():
        yield
