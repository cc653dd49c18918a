<?php
// Signed messages, which Symfony has from 7.4 on and Debian's 5.4 has not: the same signature, by PHP's own functions.

namespace App;

use Symfony\Component\Messenger\Envelope;
use Symfony\Component\Messenger\Exception\MessageDecodingFailedException;
use Symfony\Component\Messenger\Transport\Serialization\SerializerInterface;

final class SigningSerializer implements SerializerInterface
{
    public function __construct(private SerializerInterface $inner, private string $key)
    {
    }

    public function encode(Envelope $envelope): array
    {
        $encoded = $this->inner->encode($envelope);
        $encoded['headers']['Body-Sign'] = self::signature($encoded['body'], $encoded['headers'], $this->key);
        $encoded['headers']['Sign-Algo'] = 'sha256';

        return $encoded;
    }

    public function decode(array $encoded): Envelope
    {
        $signature = self::signature($encoded['body'], $encoded['headers'], $this->key);
        if (!hash_equals($signature, $encoded['headers']['Body-Sign'] ?? '')) {
            throw new MessageDecodingFailedException('Invalid message signature.');
        }

        return $this->inner->decode($encoded);
    }

    public static function signature(string $body, array $headers, string $key): string
    {
        $isSigned = static fn ($name) => 'type' === $name || str_starts_with($name, 'X-Message-Stamp-');
        $signed = array_filter($headers, $isSigned, \ARRAY_FILTER_USE_KEY);
        ksort($signed, \SORT_STRING);

        return 'v2:'.hash_hmac('sha256', serialize([$body, $signed]), hash_hmac('sha256', 'v2:', $key));
    }
}
