"""The world of a Symfony application: its messages mapped to jobs, results as messages of its class."""

from collections.abc import Callable

from tests.support.world import SHARDS, World

CUSTOMERS = range(24)

SYMFONY = r"""
[symfony]
result_class = 'App\Message\JobResult'

[symfony.messages.'App\Message\ImportJob']
type = "orders.insert"

[symfony.messages.'App\Message\ImportJob'.fields]
jobId = "job_id"
partner = "partner_id"
customerId = "customers"
submittedAt = "submitted_at"
"*" = "payload"

[symfony.result_fields]
job_id = "jobId"
partner_id = "partnerId"
dry_run = "dryRun"
correlation_id = "correlationId"
received_at = "receivedAt"
finished_at = "finishedAt"
"""


class Site(World):
    """A world whose customers are Symfony's integers."""

    def directory_section(self) -> str:
        """Where each one lives: the last section of the file."""
        lines = [f'{number} = "{SHARDS[number % len(SHARDS)]}"' for number in CUSTOMERS]
        return "\n".join(["", "[directory.customers]", *lines, ""])

    def place(self, number: int) -> None:
        """Let workers that start from now on know one more customer."""
        with self.config_path.open("a") as file:
            file.write(f'{number} = "{SHARDS[0]}"\n')


MakeSite = Callable[..., Site]
