"""TRYAGAIN: two of three nodes hang. What is asked of the third is refused or cut off, never done; redis-py asks again until they go on."""

import threading
import time

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, TryAgainError
from redis.retry import Retry
from ring_connection import ring
from story import NODES, ask, must, must_be, run

KEYS = 12  # so many that each node has some of them


def story():
    host, port = NODES[0].rsplit(":", 1)
    client = ring(NODES)
    for n in range(KEYS):
        must_be(1, client.incr(f"count:{n}"), f"count:{n}")
    ask("stop the others", "stopped")

    # What a client hears that does not ask again: first perhaps nothing, since nobody knows yet; then the word.
    impatient = redis.Redis(host=host, port=int(port), retry=Retry(NoBackoff(), 0))
    unknown, until = 0, time.monotonic() + 60
    while True:
        must(time.monotonic() < until, f"never TRYAGAIN, and {unknown} times no answer")
        began = time.monotonic()
        try:
            impatient.incr("tried")
            must(False, "a node alone acknowledges what no other node has")
        except TryAgainError:
            took = time.monotonic() - began
            break
        except ConnectionError:
            unknown += 1
    must(took < 8, f"TRYAGAIN came after {took:.1f} s")

    # And one that asks again.
    done = []
    asking = threading.Thread(target=lambda: done.extend(client.incr(f"count:{n}") for n in range(KEYS)))
    asking.start()
    asking.join(7)
    must(asking.is_alive() and not done, f"something was counted by a node alone: {done}")
    ask("let them go on", "going on")
    asking.join(60)
    must_be([2] * KEYS, done, "each is counted, and once")
    # What was refused was not done; what had no answer may have been, each time once.
    tried = int(client.get("tried") or 0)
    must(tried <= unknown, f"{unknown} had no answer, and {tried} were counted")


run(story)
