<?php
// Prints the signature of each message on standard input, a line of JSON with its body, headers and key.

require __DIR__.'/autoload.php';
require __DIR__.'/SigningSerializer.php';

while (false !== $line = fgets(\STDIN)) {
    $asked = json_decode($line, true, 512, \JSON_THROW_ON_ERROR);
    echo App\SigningSerializer::signature($asked['body'], $asked['headers'], $asked['key']), "\n";
}
