"""A site for the tests of the core: queues in memory, shards and a bucket in a directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.core import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()
