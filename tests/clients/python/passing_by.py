"""LOADING, where other nodes serve: a connection that looks by PING passes by a node which takes connections and is in no ring."""

import time

import redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError
from redis.retry import Retry
from ring_connection import ring
from story import NODES, must, must_be, run


def story():
    host, port = NODES[0].rsplit(":", 1)
    try:
        redis.Redis(host=host, port=int(port), retry=Retry(NoBackoff(), 0)).get("k")
        must(False, "the first node is in a ring")
    except BusyLoadingError:
        pass
    began = time.monotonic()
    client = ring(NODES)
    must(client.set("k", "v"), "a node that serves takes a key")
    must_be(b"v", client.get("k"), "the key")
    took = time.monotonic() - began
    must(took < 2, f"it took {took:.1f} s to pass by a node that is loading")


run(story)
