<?php
// The command `app:produce`: dispatches a message for each line of its standard input.

namespace App;

use Symfony\Component\Console\Command\Command;
use Symfony\Component\Console\Input\InputInterface;
use Symfony\Component\Console\Output\OutputInterface;
use Symfony\Component\Messenger\Bridge\AmazonSqs\Transport\AmazonSqsFifoStamp;
use Symfony\Component\Messenger\Bridge\AmazonSqs\Transport\AmazonSqsXrayTraceHeaderStamp;
use Symfony\Component\Messenger\MessageBusInterface;
use Symfony\Component\Messenger\Stamp\DelayStamp;
use Symfony\Component\Serializer\Serializer;

// A line is JSON: `fields` of an ImportJob, and perhaps its `delay` in milliseconds, its `group` and `id` on a FIFO queue
// and `trace`, a header of X-Ray's.
final class ProduceCommand extends Command
{
    protected static $defaultName = 'app:produce';

    public function __construct(private MessageBusInterface $bus, private Serializer $serializer)
    {
        parent::__construct();
    }

    protected function execute(InputInterface $input, OutputInterface $output): int
    {
        while (false !== $line = fgets(\STDIN)) {
            $asked = json_decode($line, true, 512, \JSON_THROW_ON_ERROR);
            $message = $this->serializer->denormalize($asked['fields'], Message\ImportJob::class);
            $this->bus->dispatch($message, array_filter([
                isset($asked['delay']) ? new DelayStamp($asked['delay']) : null,
                isset($asked['group']) ? new AmazonSqsFifoStamp($asked['group'], $asked['id']) : null,
                isset($asked['trace']) ? new AmazonSqsXrayTraceHeaderStamp($asked['trace']) : null,
            ]));
        }

        return Command::SUCCESS;
    }
}
