"""The job of the crash matrix: four customers on two shards, the last of which fails for good."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.support.world import job

HOMES = {"c-1": "a", "c-2": "b", "c-3": "a", "c-4": "b"}
FAILING = "c-4"
WAITING = "c-3"
ENDS = {customer: "failed" if customer == FAILING else "succeeded" for customer in HOMES}
CONTENT = b"order_no\n1\n"


class CrashJob:
    """The job, and the files by which its handler tells of itself and is told what to do."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._runs = directory / "runs"
        self._fails = directory / "fails"
        self._fails.touch()
        self.body = json.dumps(self._job())

    def heal(self) -> None:
        """Let the part that failed succeed from now on."""
        self._fails.unlink()

    def runs(self) -> list[str]:
        """Whose handler was called, once for each call."""
        return sorted(self._runs.read_text().split()) if self._runs.exists() else []

    def _job(self) -> dict[str, Any]:
        customers = [
            {"customer_id": customer, "payload": self._payload(customer, number)}
            for number, customer in enumerate(HOMES)
        ]
        return job("one", customers, type="orders.fragile", attachments=[self._attachment()])

    def _payload(self, customer: str, number: int) -> dict[str, Any]:
        fails = self._fails if customer == FAILING else self._directory / "never"
        return {"order_no": number, "runs": str(self._runs), "fails": str(fails)}

    def _attachment(self) -> dict[str, Any]:
        bucket = self._directory / "bucket"
        (bucket / "acme").mkdir(parents=True)
        (bucket / "acme" / "lines.csv").write_bytes(CONTENT)
        return {
            "name": "lines.csv",
            "bucket": f"file://{bucket}",
            "key": "acme/lines.csv",
            "size": len(CONTENT),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
        }
