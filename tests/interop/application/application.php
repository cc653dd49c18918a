<?php
// A Symfony application with Messenger on SQS, put together by hand as FrameworkBundle does it from messenger.yaml:
//
//     failure_transport: failed
//     transports:  requests, results and failed, each `sqs://…?auto_setup=false`,
//                  serializer: messenger.transport.symfony_serializer, retry_strategy: {max_retries: 2, delay: 100}
//     routing:     App\Message\ImportJob: requests
//                  App\Message\JobResult: results
//
// From the environment: SQS (host:port), SUFFIX (of the queues' names: `.fifo`), SERIALIZER (`php` for the default one,
// which no other program reads), SIGN_KEY, FAIL (what the handlers throw) and SEEN (the file to note messages in).

namespace App;

use App\Message\ImportJob;
use App\Message\JobResult;
use Psr\Container\ContainerInterface;
use Symfony\Component\Console\Application;
use Symfony\Component\EventDispatcher\EventDispatcher;
use Symfony\Component\Messenger\Bridge\AmazonSqs\Transport\AmazonSqsTransportFactory;
use Symfony\Component\Messenger\Command\ConsumeMessagesCommand;
use Symfony\Component\Messenger\Event\AbstractWorkerMessageEvent;
use Symfony\Component\Messenger\Event\WorkerMessageFailedEvent;
use Symfony\Component\Messenger\Event\WorkerMessageHandledEvent;
use Symfony\Component\Messenger\EventListener\AddErrorDetailsStampListener;
use Symfony\Component\Messenger\EventListener\SendFailedMessageForRetryListener;
use Symfony\Component\Messenger\EventListener\SendFailedMessageToFailureTransportListener;
use Symfony\Component\Messenger\Handler\HandlersLocator;
use Symfony\Component\Messenger\MessageBus;
use Symfony\Component\Messenger\Middleware\AddBusNameStampMiddleware;
use Symfony\Component\Messenger\Middleware\FailedMessageProcessingMiddleware;
use Symfony\Component\Messenger\Middleware\HandleMessageMiddleware;
use Symfony\Component\Messenger\Middleware\SendMessageMiddleware;
use Symfony\Component\Messenger\Retry\MultiplierRetryStrategy;
use Symfony\Component\Messenger\RoutableMessageBus;
use Symfony\Component\Messenger\Transport\Sender\SendersLocator;
use Symfony\Component\Messenger\Transport\Serialization\Normalizer\FlattenExceptionNormalizer;
use Symfony\Component\Messenger\Transport\Serialization\PhpSerializer;
use Symfony\Component\Messenger\Transport\Serialization\Serializer as MessengerSerializer;
use Symfony\Component\PropertyInfo\Extractor\ReflectionExtractor;
use Symfony\Component\PropertyInfo\PropertyInfoExtractor;
use Symfony\Component\Serializer\Encoder\JsonEncoder;
use Symfony\Component\Serializer\Normalizer\ArrayDenormalizer;
use Symfony\Component\Serializer\Normalizer\DateTimeNormalizer;
use Symfony\Component\Serializer\Normalizer\ObjectNormalizer;
use Symfony\Component\Serializer\Serializer;
use Symfony\Contracts\Service\ServiceLocatorTrait;

require __DIR__.'/autoload.php';
require __DIR__.'/messages.php';
require __DIR__.'/ProduceCommand.php';
require __DIR__.'/SigningSerializer.php';

const QUEUES = ['requests' => 'requests', 'results' => 'responses', 'failed' => 'failures'];
const BUS = 'messenger.bus.default';

function locator(array $services): ContainerInterface
{
    $factories = array_map(static fn ($service) => static fn () => $service, $services);

    return new class($factories) implements ContainerInterface {
        use ServiceLocatorTrait;
    };
}

function serializer(): Serializer
{
    $types = new PropertyInfoExtractor([], [new ReflectionExtractor()]);
    $normalizers = [
        new FlattenExceptionNormalizer(),
        new DateTimeNormalizer(),
        new ArrayDenormalizer(),
        new ObjectNormalizer(null, null, null, $types),
    ];

    return new Serializer($normalizers, [new JsonEncoder()]);
}

function handle(object $message): void
{
    if (false !== $reason = getenv('FAIL')) {
        throw new \DomainException($reason, 7);
    }
}

function application(): Application
{
    $serializer = serializer();
    $wire = 'php' === getenv('SERIALIZER') ? new PhpSerializer() : new MessengerSerializer($serializer);
    if (false !== $key = getenv('SIGN_KEY')) {
        $wire = new SigningSerializer($wire, $key);
    }
    $transports = array_map(static fn (string $queue) => (new AmazonSqsTransportFactory())->createTransport(
        sprintf('sqs://test:test@%s/000000000000/%s%s?sslmode=disable', getenv('SQS'), $queue, getenv('SUFFIX')),
        ['auto_setup' => false, 'wait_time' => 1],
        $wire,
    ), QUEUES);
    $locator = locator($transports);
    $bus = new MessageBus([
        new AddBusNameStampMiddleware(BUS),
        new FailedMessageProcessingMiddleware(),
        new SendMessageMiddleware(
            new SendersLocator([ImportJob::class => ['requests'], JobResult::class => ['results']], $locator)
        ),
        new HandleMessageMiddleware(new HandlersLocator(['*' => ['handle' => handle(...)]])),
    ]);
    $application = new Application();
    $application->add(new ProduceCommand($bus, $serializer));
    $application->add(new ConsumeMessagesCommand(
        new RoutableMessageBus(locator([BUS => $bus]), $bus),
        $locator,
        dispatcher($transports, $serializer),
        null,
        array_keys(QUEUES),
    ));

    return $application;
}

function dispatcher(array $transports, Serializer $serializer): EventDispatcher
{
    $retries = new MultiplierRetryStrategy(2, 100);
    $dispatcher = new EventDispatcher();
    $dispatcher->addSubscriber(new AddErrorDetailsStampListener());
    $dispatcher->addSubscriber(new SendFailedMessageForRetryListener(
        locator($transports), locator(array_map(static fn () => $retries, QUEUES)), null, $dispatcher
    ));
    $dispatcher->addSubscriber(new SendFailedMessageToFailureTransportListener(
        locator(['requests' => $transports['failed'], 'results' => $transports['failed']])
    ));
    foreach ([WorkerMessageHandledEvent::class, WorkerMessageFailedEvent::class] as $event) {
        $dispatcher->addListener($event, static fn ($event) => note($event, $serializer), 1000);
    }

    return $dispatcher;
}

// One line of JSON in the file SEEN: the message and its stamps, as the worker had them.
function note(AbstractWorkerMessageEvent $event, Serializer $serializer): void
{
    $envelope = $event->getEnvelope();
    $message = $envelope->getMessage();
    $stamps = [];
    foreach ($envelope->all() as $class => $list) {
        $stamps[substr(strrchr($class, '\\'), 1)] = $list;
    }
    $seen = [
        'handled' => $event instanceof WorkerMessageHandledEvent,
        'receiver' => $event->getReceiverName(),
        'class' => $message::class,
        'fields' => get_object_vars($message),
        'types' => array_map('get_debug_type', get_object_vars($message)),
        'stamps' => $stamps,
    ];
    file_put_contents(getenv('SEEN'), $serializer->serialize($seen, 'json')."\n", FILE_APPEND);
}
