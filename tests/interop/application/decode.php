<?php
// Prints each message on standard input, a line of JSON with its body and headers, as the object that Symfony's
// serializer makes of it. The arguments are files with the message class and a serializer that comes first.

namespace AsyncAws\S3 {
    // Stands for the library's client: every object holds what the variable OBJECT says.
    final class S3Client
    {
        public function getObject(array $of): self
        {
            return $this;
        }

        public function getBody(): self
        {
            return $this;
        }

        public function getContentAsString(): string
        {
            return getenv('OBJECT');
        }
    }
}

namespace {
    use App\Messenger\ClaimCheckSerializer;
    use AsyncAws\S3\S3Client;
    use Symfony\Component\Messenger\Transport\Serialization\Serializer as MessengerSerializer;
    use Symfony\Component\Serializer\Encoder\JsonEncoder;
    use Symfony\Component\Serializer\Normalizer\ArrayDenormalizer;
    use Symfony\Component\Serializer\Normalizer\DateTimeNormalizer;
    use Symfony\Component\Serializer\Normalizer\ObjectNormalizer;
    use Symfony\Component\Serializer\Serializer;

    require __DIR__.'/autoload.php';
    array_map(static fn (string $file) => require $file, array_slice($argv, 1));

    $serializer = new Serializer(
        [new DateTimeNormalizer(), new ArrayDenormalizer(), new ObjectNormalizer()], [new JsonEncoder()]
    );
    $wire = new ClaimCheckSerializer(new MessengerSerializer($serializer), new S3Client());
    while (false !== $line = fgets(\STDIN)) {
        $message = $wire->decode(json_decode($line, true, 512, \JSON_THROW_ON_ERROR))->getMessage();
        echo $serializer->serialize(['class' => $message::class] + get_object_vars($message), 'json'), "\n";
    }
}
