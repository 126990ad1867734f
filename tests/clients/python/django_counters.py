"""Counters in Django's caches, its own and django-redis's, through the loss of the node they talk to."""

import django
from django.conf import settings
from ring_connection import RingConnection
from story import NODES, kill_the_node, must, must_be, run

COUNTERS = 12  # so many that some of them live on the node that is killed

settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"redis://{NODES[0]}/1",
            "OPTIONS": {"connection_class": RingConnection, "nodes": NODES},
        },
        "django_redis": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"redis://{NODES[0]}/2",
            "OPTIONS": {"CONNECTION_POOL_KWARGS": {"connection_class": RingConnection, "nodes": NODES}},
        },
    }
)
django.setup()


def must_raise_value_error(does, what):
    try:
        told = does()
    except ValueError:
        return
    must(False, f"{what}: it was {told!r}")


def story():
    from django.core.cache import caches

    both = {name: caches[name] for name in ("default", "django_redis")}
    counters = [f"counter-{n}" for n in range(COUNTERS)]

    def count(by, expected):
        for name, cache in both.items():
            for counter in counters:
                must_be(expected, cache.incr(counter, by), f"{counter} of {name}")

    for cache in both.values():
        must_raise_value_error(lambda: cache.incr("missing"), "a counter that there is not")
        for counter in counters:
            cache.set(counter, 1, timeout=1800)
    count(1, 2)
    count(40, 42)
    kill_the_node()
    count(-2, 40)
    count(1, 41)
    for name, cache in both.items():
        must_be({counter: 41 for counter in counters}, cache.get_many(counters), f"the counters of {name}")
        must_raise_value_error(lambda: cache.decr("missing"), "a counter that there is not")
    for counter in counters:
        left = both["django_redis"].ttl(counter)
        must(1700 < left <= 1800, f"{counter} was set to live 1800 s, and has {left} s left")
    # Without a look at whether there is one, it begins at 0.
    must_be(5, both["django_redis"].incr("begins", 5, ignore_key_check=True), "a counter that begins")
    must_be(6, both["django_redis"].incr("begins", ignore_key_check=True), "a counter that has begun")


run(story)
