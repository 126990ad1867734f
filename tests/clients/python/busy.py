"""BUSY: more comes at once than tiny limits let in. redis-py asks again, and in the end all is counted as it was told, each once."""

import concurrent.futures

from counted import Counted
from ring_connection import PatientRetry, ring
from story import NODES, must, must_be, run

CLIENTS, ROUNDS = 64, 30


def story():
    client = ring(NODES, retry=PatientRetry(Counted(0.02), 10_000))

    def counts(n):
        return [(client.incr(f"mine:{n}"), client.set(f"set:{n}", round)) for round in range(ROUNDS)]

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        told = list(pool.map(counts, range(CLIENTS)))
    must(Counted.pauses > 0, "nothing was ever BUSY: the limits are not tiny enough")
    for n, counted in enumerate(told):
        must_be([(round + 1, True) for round in range(ROUNDS)], counted, f"what client {n} was told")
        must_be([b"%d" % ROUNDS, b"%d" % (ROUNDS - 1)], client.mget(f"mine:{n}", f"set:{n}"), f"the keys of client {n}")


run(story)
