<?php
// All that makes a page's sessions live in the ring: before session_start(), or for every page as php.ini's auto_prepend_file.
foreach (explode(',', getenv('RING') ?: '127.0.0.1:7521,127.0.0.1:7522,127.0.0.1:7523') as $node) {
    try {
        $redis = new Redis();
        if (@$redis->connect(explode(':', $node)[0], (int) explode(':', $node)[1], 0.3) && $redis->ping()) {
            break;
        }
    } catch (RedisException) { // It does not answer: the next.
    }
}
ini_set('session.save_handler', 'redis');
ini_set('session.save_path', "tcp://$node?timeout=1&read_timeout=10");
ini_set('session.gc_maxlifetime', 1800);
ini_set('redis.session.locking_enabled', 1); // Two requests of one customer wait for each other.
ini_set('redis.session.lock_expire', 10);
ini_set('redis.session.lock_wait_time', 10_000); // microseconds
ini_set('redis.session.lock_retries', 1_100);
