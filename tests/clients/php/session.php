<?php
// A site in plain PHP, its sessions kept by phpredis. phpredis spreads sessions over the hosts that a save path names, so
// this names one: the first node that answers. Every node serves every session, and none is served by one alone.
foreach (explode(',', getenv('NODES')) as $node) {
    [$host, $port] = explode(':', $node);
    try {
        $redis = new Redis();
        if (@$redis->connect($host, (int) $port, 0.5) && $redis->ping()) {
            ini_set('session.save_path', "tcp://$node?timeout=2&read_timeout=10");
            break;
        }
    } catch (RedisException) {
    }
}
ini_set('session.save_handler', 'redis');
ini_set('session.gc_maxlifetime', getenv('LIFETIME'));

// phpredis throws what a node refuses, as one does that leaves the ring.
set_exception_handler(function (Throwable $refused): never {
    http_response_code(503);
    exit(json_encode(['error' => $refused->getMessage()]));
});

function answer(int $status, array $what): never
{
    // What is not stored is not acknowledged.
    if (session_status() === PHP_SESSION_ACTIVE && !session_write_close()) {
        [$status, $what] = [503, ['error' => 'the session was not stored']];
    }
    http_response_code($status);
    header('content-type: application/json');
    exit(json_encode($what));
}

if (!session_start()) {
    answer(503, ['error' => 'the session cannot be read']);
}
if (str_starts_with($_SERVER['REQUEST_URI'], '/login/')) {
    session_regenerate_id(true);
    $_SESSION = ['user' => substr($_SERVER['REQUEST_URI'], strlen('/login/')), 'count' => 0];
    answer(200, $_SESSION);
}
if (!isset($_SESSION['user'])) {
    session_destroy();
    answer(401, ['error' => 'nobody is logged in']);
}
$_SESSION['count']++;
answer(200, $_SESSION);
