"""Locks of redis-py: held, extended, taken again and let go, through the loss of the node that the client talks to."""

import threading
import time

from redis.exceptions import LockError, LockNotOwnedError
from redis.lock import Lock
from ring_connection import ring
from story import NODES, kill_the_node, must, must_be, run

LOCKS = 12  # so many that some of them live on the node that is killed
SCRIPTS = [Lock.LUA_RELEASE_SCRIPT, Lock.LUA_EXTEND_SCRIPT, Lock.LUA_REACQUIRE_SCRIPT]


def must_be_refused(does, what):
    try:
        does()
    except (LockNotOwnedError, LockError):
        return
    must(False, f"{what}: it was done")


def must_last(client, name, seconds):
    left = client.pttl(name)
    must(seconds * 1000 - 3000 < left <= seconds * 1000, f"{name}: {seconds} s were asked for, and {left} ms are left")


def each_in_turn(client, name, lock):
    """All that a lock can do, and that nobody else can do it."""
    other = client.lock(name, timeout=60)
    must(not other.acquire(blocking=False), f"{name} is taken by two")
    other.local.token = b"of somebody else"
    for what, does in [
        ("extended", lambda: other.extend(10)),
        ("replaced", lambda: other.extend(10, replace_ttl=True)),
        ("taken again", other.reacquire),
        ("let go", other.release),
    ]:
        other.local.token = b"of somebody else"
        must_be_refused(does, f"{name} {what} by somebody else")
    must(lock.reacquire(), f"{name} is taken again")
    must_last(client, name, 60)
    must(lock.extend(30), f"{name} is extended")
    must_last(client, name, 90)
    must(lock.extend(20, replace_ttl=True), f"{name} has another end")
    must_last(client, name, 20)
    must(lock.owned(), f"{name} is held")


def story():
    client = ring(NODES)
    shas = [client.register_script(script).sha for script in SCRIPTS]
    must_be([True] * 3, client.script_exists(*shas), "nobody has sent these scripts, and the node knows them")
    locks = {f"lock:{n}": client.lock(f"lock:{n}", timeout=60) for n in range(LOCKS)}
    for name, lock in locks.items():
        must(lock.acquire(blocking=False), f"{name} is free")
        each_in_turn(client, name, lock)
    ends = client.lock("ends", timeout=4)
    must(ends.acquire(blocking=False), "ends is free")
    began = time.monotonic()

    # One is extended again and again while the node dies: to the same end, so that twice is as once.
    kept, dead, wrong = client.lock("kept", timeout=5, thread_local=False), threading.Event(), []
    must(kept.acquire(blocking=False), "kept is free")

    def go_on():
        try:
            while not dead.is_set():
                must(kept.extend(5, replace_ttl=True), "kept is extended")
        except Exception as why:
            wrong.append(why)

    going_on = threading.Thread(target=go_on)
    going_on.start()
    kill_the_node()
    time.sleep(1)
    dead.set()
    going_on.join()
    if wrong:
        raise wrong[0]
    must(kept.owned(), "kept is held through it all")
    kept.release()

    for name, lock in locks.items():
        each_in_turn(client, name, lock)
        lock.release()
        with client.lock(name, timeout=60, blocking_timeout=1):
            must_be(1, client.exists(name), f"{name} is taken by another")
        must_be(0, client.exists(name), f"{name} is let go")
    # Whoever waits gets it when its holder's time is over, and not before.
    must(client.lock("ends", timeout=4, blocking_timeout=10).acquire(), "ends is free when its time is over")
    waited = time.monotonic() - began
    must(waited >= 3.9, f"a lock of 4 s was taken from its holder after {waited:.1f} s")
    must_be_refused(ends.release, "a lock let go whose time was over")


run(story)
