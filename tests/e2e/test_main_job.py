"""The main job, whole: a message goes in, rows stand in the right databases once, a result comes out."""

import json
from collections import Counter
from typing import Any

from config.headers import read_own_header
from tests.support.world import CUSTOMERS, SHARDS, World, job, without_times


def order(number: int) -> dict[str, Any]:
    """A row of the tests' table."""
    return {"order_no": number, "note": "e2e"}


class TestMainJob:
    def test_rows_reach_their_customers_shards_and_results_come_back(self, world: World) -> None:
        """Each job's rows stand on the shard of its customer, and each job is answered once."""
        jobs = [
            job(f"job-{number}", [CUSTOMERS[number % 12]], rows=[order(number * 10), order(number * 10 + 1)])
            for number in range(60)
        ]
        world.send(*jobs)
        worker = world.start_worker("--limit", "60")

        assert worker.wait() == 0
        assert len(world.rows()) == 120
        for number, shard in enumerate(SHARDS):
            expected = {CUSTOMERS[index] for index in range(12) if index % 3 == number}
            assert {customer for _, customer in world.rows_on(shard)} == expected
        results = world.results()
        assert Counter(result["job_id"] for result in results) == Counter(one["job_id"] for one in jobs)
        assert {result["status"] for result in results} == {"succeeded"}
        assert world.request.depth() == (0, 0, 0)
        assert world.dead_letters() == []

    def test_a_job_of_all_customers_reaches_each_of_them(self, world: World) -> None:
        """One job, every customer, a payload of its own for one of them: an entry for each, in order."""
        entries: list[Any] = [
            {"customer_id": customer, "payload": {"rows": [order(number)]}}
            for number, customer in enumerate(CUSTOMERS)
        ]
        world.send(job("wide", entries))
        world.start_worker("--limit", "1").wait()

        (result,) = world.results()
        assert [entry["customer_id"] for entry in result["customers"]] == list(CUSTOMERS)
        assert result["status"] == "succeeded"
        assert sorted(world.rows()) == sorted((number, one) for number, one in enumerate(CUSTOMERS))

    def test_a_failing_part_leaves_the_others_alone(self, world: World) -> None:
        """A unique violation for one customer: the job is partial, the other customers' rows are there."""
        world.send(job("first", ["c-0"], rows=[order(1)]))
        world.start_worker("--limit", "1").wait()
        entries = [
            {"customer_id": "c-0", "payload": {"rows": [order(2), order(1)]}},
            {"customer_id": "c-1", "payload": {"rows": [order(3)]}},
        ]
        world.send(job("second", entries))
        world.start_worker("--limit", "1").wait()

        result = next(one for one in world.results() if one["job_id"] == "second")
        assert result["status"] == "partial"
        failed, succeeded = result["customers"]
        assert (failed["status"], failed["error"]["code"]) == ("failed", "unique_violation")
        assert failed["error"]["details"][0]["row"] == 2
        assert succeeded["status"] == "succeeded"
        assert sorted(number for number, _ in world.rows()) == [1, 3]

    def test_bad_messages_end_on_the_failure_queue_and_stop_nobody(self, world: World) -> None:
        """Each bad message is kept with its body and reason; where it can be answered it is rejected."""
        answered = {
            "no-customer": job("no-customer", []),
            "twice": job("twice", ["c-0", "c-0"]),
            "unknown-type": job("unknown-type", type="nothing.known"),
            "unknown-customer": job("unknown-customer", ["c-99"]),
            "expired": job("expired", expires_at="2020-01-01T00:00:00Z"),
        }
        silent = ["not json", "[1, 2]", '{"type": "orders.insert"}', 'O:8:"stdClass":0:{}']
        good = [job(f"good-{number}", rows=[order(number)]) for number in range(10)]
        world.send(*good[:5], *answered.values(), *silent, *good[5:])
        assert world.start_worker("--limit", str(len(good) + len(answered) + len(silent))).wait() == 0

        statuses = {result["job_id"]: result["status"] for result in world.results()}
        assert statuses == {
            **{one["job_id"]: "succeeded" for one in good},
            **dict.fromkeys(answered, "rejected"),
        }
        letters = {letter.body: read_own_header(letter.headers) for letter in world.dead_letters()}
        assert set(letters) == {json.dumps(one) for one in answered.values()} | set(silent)
        codes = Counter(header.code for header in letters.values())
        assert codes == Counter(
            bad_message=4,
            php_serialized=1,
            duplicate_customer=1,
            unknown_type=1,
            unknown_customer=1,
            expired=1,
        )
        assert all(header.origin == world.request.name and header.reason for header in letters.values())

    def test_an_unexpected_error_is_tried_again_then_failed_and_dead_lettered(self, world: World) -> None:
        """Attempts are counted in the inbox; after the last the job fails, and no value leaks anywhere.

        Each try is the same message, given back: none is sent anew.
        """
        world.send(job("crash", type="orders.crash", payload={"secret": "hunter2"}))
        worker = world.start_worker("--limit", "1")
        assert worker.wait() == 0

        (result,) = world.results()
        assert result["customers"][0]["error"]["code"] == "handler_error"
        (row,) = world.inbox("crash")
        assert (row["state"], row["attempt"]) == ("failed", 5)
        (letter,) = world.dead_letters()
        assert read_own_header(letter.headers).attempt == 5
        released, (ended,) = worker.events("job.released"), worker.events("job.dead_lettered")
        assert [(line["outcome"], line["receive_count"]) for line in released] == [
            ("released", number) for number in range(1, 5)
        ]
        assert {line["message_id"] for line in released} == {ended["message_id"]}
        assert "hunter2" not in worker.log_path.read_text()
        assert "hunter2" not in json.dumps(result)

    def test_another_content_under_the_same_job_is_buried_unanswered(self, world: World) -> None:
        """The answer belongs to the first; the second content runs nowhere and is kept aside."""
        world.send(job("same", rows=[order(1)]))
        world.start_worker("--limit", "1").wait()
        world.send(job("same", rows=[order(2)]))
        world.start_worker("--limit", "1").wait()

        assert len(world.results()) == 1
        assert [number for number, _ in world.rows()] == [1]
        (letter,) = world.dead_letters()
        assert read_own_header(letter.headers).code == "content_conflict"

    def test_a_second_delivery_gets_the_same_answer(self, world: World) -> None:
        """The same job delivered again is answered with the same result, but for the two times."""
        one = job("again", ["c-0", "c-1"], rows=[order(1)])
        world.send(one)
        world.start_worker("--limit", "1").wait()
        world.send(one)
        world.start_worker("--limit", "1").wait()

        first, second = world.results()
        assert without_times(first) == without_times(second)
        assert len(world.rows()) == 2
