"""BUSY: more comes at once than tiny limits let in. redis-py asks again, and in the end all is counted as it was told, each once.

Threads of Python are often no crowd, however many, where a node answers fast: one beside them asks for a thousand things at once
until somebody was told to come again.
"""

import concurrent.futures
import itertools
import socket
import time

from counted import Counted
from ring_connection import PatientRetry, ring
from story import NODES, must, must_be, run

CLIENTS, ROUNDS = 64, 30
AT_ONCE = 1_000
SECONDS = 60


def press(until):
    """Asks for much at once, again and again, until somebody else was told BUSY."""
    host, port = NODES[0].rsplit(":", 1)
    asked = b"".join(b"SET crowd:%d x\r\n" % n for n in range(AT_ONCE))
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        replies = connection.makefile("rb")
        while not Counted.pauses and time.monotonic() < until:
            connection.sendall(asked)
            for _ in range(AT_ONCE):
                must(replies.readline().startswith((b"+OK", b"-BUSY ")), "one of the crowd was told something else")


def story():
    client = ring(NODES, retry=PatientRetry(Counted(0.02), 10_000))
    until = time.monotonic() + SECONDS

    def counts(n):
        told = []
        for round in itertools.count():
            if round >= ROUNDS and (Counted.pauses or time.monotonic() > until):
                return told
            told.append((client.incr(f"mine:{n}"), client.set(f"set:{n}", round)))

    with concurrent.futures.ThreadPoolExecutor(CLIENTS + 1) as pool:
        crowd = pool.submit(press, until)
        all_told = list(pool.map(counts, range(CLIENTS)))
        crowd.result()
    must(Counted.pauses > 0, "nobody was ever told BUSY: the limits are not tiny enough")
    for n, told in enumerate(all_told):
        rounds = len(told)
        must_be([(round + 1, True) for round in range(rounds)], told, f"what client {n} was told")
        must_be([b"%d" % rounds, b"%d" % (rounds - 1)], client.mget(f"mine:{n}", f"set:{n}"), f"the keys of client {n}")


run(story)
