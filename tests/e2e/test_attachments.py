"""Attachments: fetched from S3 or a directory, verified, inserted, and removed from the worker's disk."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.support import rejected_files
from tests.support.world import World, job
from tests.support.worlds import MakeWorld

CSV = b"order_no,note\n1,one\n2,two\n"
IMPORT = """
[[handlers.insert]]
type = "orders.import"
table = "orders"
source = "attachments"
customer_column = "customer_id"
"""


def reference(bucket: str, name: str, content: bytes, **changes: Any) -> dict[str, Any]:
    """The job's entry for an attachment of acme."""
    described = {
        "name": name,
        "bucket": bucket,
        "key": f"acme/{name}",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return {**described, **changes}


def import_job(job_id: str, *references: dict[str, Any]) -> dict[str, Any]:
    """A job that inserts its attachments' rows for one customer."""
    return job(job_id, ["c-0"], type="orders.import", attachments=list(references))


def error_code(world: World, job_id: str) -> str:
    """The code that the job failed or was rejected with."""
    result = next(result for result in world.results() if result["job_id"] == job_id)
    error = result["error"] if result["status"] == "rejected" else result["customers"][0]["error"]
    return str(error["code"])


class TestDirectoryBucket:
    def test_good_attachments_are_inserted_and_bad_ones_fail_their_job(self, make_world: MakeWorld) -> None:
        """Missing, changed and foreign attachments fail with their codes; nothing stays on the disk."""
        world = make_world(extra=IMPORT)
        bucket = f"file://{world.directory}/bucket"
        folder = world.directory / "bucket" / "acme"
        folder.mkdir()
        (folder / "orders.csv").write_bytes(CSV)
        jobs = {
            "good": reference(bucket, "orders.csv", CSV),
            "missing": reference(bucket, "nothing.csv", CSV),
            "changed": reference(bucket, "orders.csv", CSV, sha256="0" * 64),
            "foreign": reference(bucket, "orders.csv", CSV, key="other/orders.csv"),
            "elsewhere": reference("another-bucket", "orders.csv", CSV),
        }
        world.send(*[import_job(job_id, entry) for job_id, entry in jobs.items()])
        assert world.start_worker("--limit", str(len(jobs))).wait() == 0

        assert world.rows() == [(1, "c-0"), (2, "c-0")]
        assert error_code(world, "missing") == "attachment_missing"
        assert error_code(world, "changed") == "attachment_mismatch"
        assert error_code(world, "foreign") == "attachment_not_allowed"
        assert error_code(world, "elsewhere") == "attachment_not_allowed"
        left = {path.name for path in (world.directory / "state").rglob("*") if path.is_file()}
        assert left == {".sweep-lock"}


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """An S3 on 127.0.0.1."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class TestS3:
    def test_attachments_come_from_s3(
        self, make_world: MakeWorld, s3_endpoint: str, request: pytest.FixtureRequest
    ) -> None:
        """The same code against S3: a version that is asked for is the one that is inserted."""
        bucket = f"partners-{abs(hash(request.node.name)) % 10**8}"
        s3 = boto3.client("s3", endpoint_url=s3_endpoint)
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        first = s3.put_object(Bucket=bucket, Key="acme/orders.csv", Body=CSV)["VersionId"]
        s3.put_object(Bucket=bucket, Key="acme/orders.csv", Body=b"order_no,note\n9,nine\n")
        world = make_world(extra=IMPORT)
        allow(world.config_path, bucket)
        world.send(
            import_job("s3", reference(bucket, "orders.csv", CSV, version_id=first)),
            import_job("gone", reference(bucket, "gone.csv", CSV)),
        )
        worker = world.start_worker("--limit", "2", SHARDWORKER__QUEUES__ENDPOINT_URL=s3_endpoint)

        assert worker.wait() == 0
        assert world.rows() == [(1, "c-0"), (2, "c-0")]
        assert error_code(world, "gone") == "attachment_missing"

    def test_bad_rows_are_put_beside_their_attachment(
        self, make_world: MakeWorld, s3_endpoint: str, request: pytest.FixtureRequest
    ) -> None:
        """The good ones are loaded; the partner finds the others where the result says."""
        bucket = f"partners-{abs(hash(request.node.name)) % 10**8}"
        s3 = boto3.client("s3", endpoint_url=s3_endpoint)
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_object(Bucket=bucket, Key="acme/lines.csv", Body=rejected_files.MIXED.content)
        world = make_world(extra=rejected_files.IMPORT)
        allow(world.config_path, bucket)
        world.send(import_job("mixed", rejected_files.reference(bucket)))
        worker = world.start_worker("--limit", "1", SHARDWORKER__QUEUES__ENDPOINT_URL=s3_endpoint)

        assert worker.wait() == 0
        assert world.rows() == [(1, "c-0"), (2, "c-0")]
        (result,) = world.results()
        (told,) = result["customers"][0]["result"]["rejected"]
        stored = s3.get_object(Bucket=told["rows"]["bucket"], Key=told["rows"]["key"])["Body"].read()
        assert stored == rejected_files.MIXED.rejected
        assert hashlib.sha256(stored).hexdigest() == told["rows"]["sha256"]
        assert [fault["row"] for fault in told["details"]] == [3, 5]


def allow(config_path: Path, bucket: str) -> None:
    """Put an S3 bucket on the world's allow-list."""
    text = config_path.read_text()
    config_path.write_text(text.replace('buckets = ["', f'buckets = ["{bucket}", "'))
