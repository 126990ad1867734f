"""redis-py as a session store of one's own: documents under random names, with an end."""

import json
import secrets
import threading
import time

from ring_connection import ring
from story import NODES, kill_the_node, must, must_be, run

LIFETIME = 1800


class Sessions:
    def __init__(self, client):
        self.client = client

    def begin(self, user):
        name = f"session:{secrets.token_urlsafe(24)}"
        must(self.client.set(name, json.dumps({"user": user, "count": 0}), ex=LIFETIME, nx=True), "a new name is taken")
        return name

    def count(self, name):
        stored = self.client.get(name)
        must(stored is not None, f"{name}: expected a session, found none")
        session = json.loads(stored)
        session["count"] += 1
        # The whole document: redis-py sends it again if the connection closes before the answer, and twice is as once.
        self.client.set(name, json.dumps(session), ex=LIFETIME)
        return session


def story():
    client = ring(NODES)
    sessions = Sessions(client)
    names = [sessions.begin(f"user-{n}") for n in range(12)]
    for expected in range(1, 6):
        for n, name in enumerate(names):
            must_be({"user": f"user-{n}", "count": expected}, sessions.count(name), name)
    client.set("ends", "soon", px=4000)
    ends = time.monotonic() + 4

    # Half of the sessions go on while the node dies; the other half rests.
    counted, dead, wrong = [5] * 6, threading.Event(), []

    def go_on():
        try:
            while not dead.is_set():
                for n in range(6):
                    counted[n] += 1
                    must_be({"user": f"user-{n}", "count": counted[n]}, sessions.count(names[n]), names[n])
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
    must(min(counted) > 5, f"nothing went on while the node died: {counted}")
    if time.monotonic() < ends - 0.5:
        must_be(b"soon", client.get("ends"), "a key that has not ended")
    for n, name in enumerate(names):
        expected = counted[n] + 1 if n < 6 else 6
        must_be({"user": f"user-{n}", "count": expected}, sessions.count(name), name)
        left = client.ttl(name)
        must(LIFETIME - 5 <= left <= LIFETIME, f"{name} was set to live {LIFETIME} s, and has {left} s left")
    while time.monotonic() < ends + 2:
        time.sleep(0.1)
    must_be(None, client.get("ends"), "a key that has ended")
    must_be(12, client.delete(*names), "sessions that were there to end")


run(story)
