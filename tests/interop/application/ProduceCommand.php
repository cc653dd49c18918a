<?php
// The command `app:produce`: dispatches a message for each line of its standard input.

namespace App;

use Symfony\Component\Console\Command\Command;
use Symfony\Component\Console\Input\InputInterface;
use Symfony\Component\Console\Output\OutputInterface;
use Symfony\Component\Messenger\MessageBusInterface;
use Symfony\Component\Messenger\Stamp\DelayStamp;
use Symfony\Component\Serializer\Serializer;

// A line is JSON: `fields` of the message, `class` if it is no ImportJob, and `delay` in milliseconds.
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
            $message = $this->serializer->denormalize($asked['fields'], $asked['class'] ?? Message\ImportJob::class);
            $this->bus->dispatch($message, isset($asked['delay']) ? [new DelayStamp($asked['delay'])] : []);
        }

        return Command::SUCCESS;
    }
}
