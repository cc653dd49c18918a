<?php
// Symfony as Debian installs it: each package has an autoloader that brings what it needs.
foreach ([
    'Console',
    'EventDispatcher',
    'Messenger',
    'Messenger/Bridge/AmazonSqs',
    'PropertyAccess',
    'PropertyInfo',
    'Serializer',
] as $component) {
    require_once "/usr/share/php/Symfony/Component/$component/autoload.php";
}
