<?php
// The message classes of a Symfony application: the job that it asks for, and the result that it is told.

namespace App\Message;

final class ImportJob
{
    /** @param list<array<string, mixed>> $rows */
    public function __construct(
        public readonly string $jobId,
        public readonly string $partner,
        public readonly int $customerId,
        public readonly array $rows,
        public readonly ?\DateTimeImmutable $submittedAt = null,
    ) {
    }
}

final class JobResult
{
    public function __construct(
        public readonly string $jobId,
        public readonly int $run,
        public readonly ?string $type,
        public readonly string $partnerId,
        public readonly ?string $correlationId,
        public readonly bool $dryRun,
        public readonly string $status,
        public readonly array $customers,
        public readonly \DateTimeImmutable $receivedAt,
        public readonly ?\DateTimeImmutable $finishedAt,
        public readonly ?array $error = null,
        public readonly ?array $progress = null,
        public readonly array $waiting = [],
    ) {
    }
}
