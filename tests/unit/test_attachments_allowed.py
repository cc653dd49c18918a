"""Whose attachments are whose: allowed buckets, the partner's prefix, and what a link leads to."""

from pathlib import Path

import pytest

from config.settings import Attachments
from tests.support.attachments import S3_BUCKET, Bench, directory_store, reference
from worker.attachments import AttachmentFetcher, AttachmentsUnavailable


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("bucket", "key", "allowed"),
    [
        (S3_BUCKET, "acme/j/lines.csv", True),
        (S3_BUCKET, "acme/a..b/.../c", True),
        (S3_BUCKET, "acme//x", True),
        (S3_BUCKET, "acme", False),
        (S3_BUCKET, "acme2/j/lines.csv", False),
        (S3_BUCKET, "other/j/lines.csv", False),
        (S3_BUCKET, "/acme/j/lines.csv", False),
        (S3_BUCKET, "ACME/j/lines.csv", False),
        (S3_BUCKET, "acme/../other/lines.csv", False),
        (S3_BUCKET, "acme/..", False),
        (S3_BUCKET + "2", "acme/j/lines.csv", False),
        ("Partner-files", "acme/j/lines.csv", False),
        ("file:///etc", "acme/passwd", False),
    ],
)
def test_a_partner_reaches_only_allowed_buckets_and_its_own_prefix(
    bench: Bench, bucket: str, key: str, *, allowed: bool
) -> None:
    """Buckets are compared as they stand on the list, keys by the partner's prefix with its slash."""
    fetcher = bench.fetcher()
    refusal = fetcher.check_allowed(
        "acme", [reference(S3_BUCKET, "acme/fine"), reference(bucket, key, name="n")]
    )
    assert (refusal is None) == allowed
    assert refusal is None or "'n'" in refusal
    fetcher.close()


def test_a_link_does_not_lead_out_of_the_partners_folder(bench: Bench) -> None:
    """In a directory bucket the file counts, not the way to it."""
    bench.put("acme/own", b"")
    bench.put("other/theirs", b"")
    (bench.folder / "acme" / "good").symlink_to(bench.folder / "acme" / "own")
    (bench.folder / "acme" / "bad").symlink_to(bench.folder / "other" / "theirs")
    (bench.folder / "acme" / "up").symlink_to(bench.folder)
    (bench.folder / "linked").symlink_to(bench.folder / "other")
    fetcher = bench.fetcher()

    def allowed(partner_id: str, key: str) -> bool:
        return fetcher.check_allowed(partner_id, [reference(bench.bucket, key)]) is None

    assert allowed("acme", "acme/own")
    assert allowed("acme", "acme/good")
    assert allowed("acme", "acme/not-there-yet")
    assert not allowed("acme", "acme/bad")
    assert not allowed("acme", "acme/up/other/theirs")
    assert not allowed("acme", "acme/")
    assert not allowed("linked", "linked/theirs")
    fetcher.close()


def test_an_allowed_directory_that_is_none_is_an_operators_matter(tmp_path: Path) -> None:
    """A mistake in the configuration refuses no partner's job."""
    fetcher = AttachmentFetcher(
        directory_store(), Attachments(buckets=["file://relative"]), tmp_path / "state"
    )
    with pytest.raises(AttachmentsUnavailable, match="absolute"):
        fetcher.check_allowed("acme", [reference("file://relative", "acme/x")])
    fetcher.close()
