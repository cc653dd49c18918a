"""Signed jobs out of PHP: what the page's program signs, the worker verifies."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from config.headers import read_own_header
from tests.support.private_server import skip_or_fail
from tests.support.signed_letters import KEY
from tests.support.world import ROOT
from worker.signing import Key, content_of, read_signature

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
CALL = "echo json_encode(message(json_decode($argv[1], true), $argv[2]), JSON_THROW_ON_ERROR);"
FULL = {"run": 2, "expires_at": "2026-12-01T00:00:00Z", "payload": {"note": "Zo\u00eb / \U0001f600"}}


@pytest.mark.parametrize("fields", [{}, FULL])
def test_the_php_program_signs_right(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Copied as it stands, of a job with everything or with the least."""
    if shutil.which("php") is None:
        skip_or_fail("there is no PHP")
    programs = re.findall(r"^```php\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (program,) = [one for one in programs if "function message" in one]
    file = tmp_path / "producer.php"
    file.write_text(f"<?php\n{program}\n{CALL}\n", encoding="utf-8")
    job = json.dumps({"job_id": "job-1", "type": "orders.insert", **fields})
    done = subprocess.run(["php", str(file), job, KEY.decode()], capture_output=True, check=True, timeout=60)
    sent = json.loads(done.stdout)
    own = read_own_header({"Shardworker": sent["MessageAttributes"]["Shardworker"]["StringValue"]})
    signature, body = read_signature(own.signature), sent["MessageBody"]

    assert json.loads(body) == json.loads(job)
    assert signature is not None
    assert signature.is_right(content_of(body, {}, own, json.loads(body)), Key.of(KEY))
