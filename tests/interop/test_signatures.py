"""Signed messages: our signatures are those of PHP's own functions, and the other way round."""

import json
from pathlib import Path
from typing import Any

from tests.e2e.test_failed_queue import lines
from tests.interop.test_jobs import import_job
from tests.support.symfony_application import SymfonyApplication
from tests.support.symfony_site import SYMFONY, MakeSite
from worker.symfony.signing import SIGNATURE_HEADER, is_signed_right, sign

KEY = "s3cret-of-the-tests"
STAMP = r"X-Message-Stamp-Symfony\Component\Messenger\Stamp"
MESSAGES: list[dict[str, Any]] = [
    {"body": "{}", "headers": {}, "key": KEY},
    {"body": "", "headers": {"type": ""}, "key": ""},
    {"body": '{"note":"Zoë 😀 \\u00eb"}', "headers": {"type": "App\\Message\\Ä"}, "key": "schlüssel"},
    {
        "body": '{"a":1}\r\n',
        "headers": {
            "type": "App\\Message\\ImportJob",
            "Content-Type": "application/json",
            "Body-Sign": "v2:0",
            f"{STAMP}\\DelayStamp": '[{"delay":1000}]',
            f"{STAMP}\\BusNameStamp": '[{"busName":"messenger.bus.default"}]',
            "X-Message-Stamp-10": "[]",
            "X-Message-Stamp-9": "[]",
        },
        "key": KEY,
    },
]
SIGNED = r"""
sign_key_files = ["{file}"]
signed_types = ['App\Message\*']
"""


def test_signatures_are_those_of_php(symfony: SymfonyApplication) -> None:
    """Of whatever body and headers, in whichever order these came."""
    theirs = symfony.run(["sign.php"], "".join(f"{json.dumps(one)}\n" for one in MESSAGES)).splitlines()
    ours = [sign(one["body"], one["headers"], one["key"].encode()) for one in MESSAGES]

    assert [one[SIGNATURE_HEADER] for one in ours] == theirs
    for one, signature in zip(MESSAGES, theirs, strict=True):
        headers = {**one["headers"], SIGNATURE_HEADER: signature}
        assert is_signed_right(one["body"], headers, one["key"].encode())
        assert not is_signed_right(f"{one['body']} ", headers, one["key"].encode())


def test_what_is_signed_is_done_and_answered_signed(
    make_site: MakeSite, symfony: SymfonyApplication, tmp_path: Path
) -> None:
    """Each side takes what the other signed; what nobody did, or another key, is believed in nothing."""
    key_file = tmp_path / "sign.key"
    key_file.write_text(f"{KEY}\n")
    site = make_site(SYMFONY.replace("[symfony]\n", f"[symfony]\n{SIGNED.format(file=key_file)}"))
    symfony.produce({"fields": import_job(1)}, SIGN_KEY=KEY)
    symfony.produce({"fields": import_job(2)})
    symfony.produce({"fields": import_job(3)}, SIGN_KEY="another")
    assert site.start_worker("--limit", "3").wait() == 0
    (result,) = symfony.consume("results", 1, SIGN_KEY=KEY)

    assert (result.fields["jobId"], result.fields["status"]) == ("job-1", "succeeded")
    assert {line["code"] for line in lines(site, "failed", "list", "--json")} == {"bad_signature"}
    assert site.rows() == [(1, "1")]
    assert site.response.depth() == (0, 0, 0)
