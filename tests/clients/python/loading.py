"""LOADING: redis-py waits for a node until that is in the ring, by its own `retry`, and passes by one that others can stand in for.

Only the first node runs when this begins; the others are started when it says so.
"""

import concurrent.futures
import time

import redis
from counted import Counted
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError
from redis.retry import Retry
from story import NODES, ask, must, must_be, run

PATIENCE = 60  # seconds


def client(retry):
    host, port = NODES[0].rsplit(":", 1)
    return redis.Redis(host=host, port=int(port), retry=retry)


def story():
    impatient = client(Retry(NoBackoff(), 0))
    for command in (["GET", "k"], ["SET", "k", "v"], ["INCR", "k"], ["PING"], ["DBSIZE"], ["MGET", "k", "l"]):
        try:
            must(False, f"{command} was answered by a node without a ring: {impatient.execute_command(*command)}")
        except BusyLoadingError:
            pass
    # INFO is what clients look at before they begin.
    must_be(1, impatient.info("persistence")["loading"], "what INFO says of a node without a ring")

    # redis-py's own, as it is but for its patience: LOADING is among what it asks again of.
    patient = client(Retry(Counted(0.1), PATIENCE * 10))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        counts = [pool.submit(patient.incr, "count") for _ in range(5)]
        until = time.monotonic() + PATIENCE
        while Counted.pauses < 10:
            must(time.monotonic() < until, f"LOADING was said {Counted.pauses} times in {PATIENCE} s")
            time.sleep(0.01)
        must(not any(count.done() for count in counts), "something was counted by a node without a ring")
        ask("start the others", "started")
        must_be([1, 2, 3, 4, 5], sorted(count.result(PATIENCE) for count in counts), "each is counted once")
    must_be(0, impatient.info("persistence")["loading"], "what INFO says of a node in the ring")
    must_be(b"5", impatient.get("count"), "what was counted")


run(story)
