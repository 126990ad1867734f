"""Visitors of a site: `visitors.py [--at-once] COMMAND...` starts the site, which prints its address, and goes through a kill.

A site answers `POST /login/NAME` and `POST /count` with {"user": NAME, "count": N}, or with 401 to a stranger. What it
answered is what must be there after the kill. A request without such an answer is done or not: the next tells.

--at-once: the site locks sessions, and must not lose one of many requests that come at once in one session.
"""

import concurrent.futures
import http.cookiejar
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

from ring_connection import ring
from story import NODES, NotKept, kill_the_node, must, must_be, run

LIFETIME = 12  # seconds that a session lives after its last request
PATIENCE = 60  # seconds that anything may take
VISITORS = 8  # so many that some of them live on the node that is killed


class Visitor:
    """A browser: it keeps its cookies, and knows what it was told last."""

    def __init__(self, site, name):
        self.site, self.name, self.count, self.unknown = site, name, None, 0
        self.cookies = http.cookiejar.CookieJar()
        # No proxy of the environment is to be asked for loopback.
        no_proxy = urllib.request.ProxyHandler({})
        self.opener = urllib.request.build_opener(no_proxy, urllib.request.HTTPCookieProcessor(self.cookies))

    def ask(self, path):
        """The status and what was said; status 0 if there was no whole answer."""
        try:
            with self.opener.open(urllib.request.Request(self.site + path, method="POST"), timeout=PATIENCE) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.status, refused.read().decode(errors="replace")
        except (OSError, ValueError) as broken:
            return 0, str(broken)

    def login(self):
        must_be((200, {"user": self.name, "count": 0}), self.ask(f"/login/{self.name}"), f"{self.name} logs in")
        self.count = 0

    def counts(self):
        expected = (200, {"user": self.name, "count": self.count + 1})
        must_be(expected, self.ask("/count"), f"request {self.count + 1} of {self.name}")
        self.count += 1

    def counts_if_it_can(self):
        """As while the node dies. Says whether there was an answer."""
        status, told = self.ask("/count")
        if status != 200:
            must(status != 401, f"{self.name} was logged in, and is a stranger now")
            self.unknown += 1
            return False
        least, most = self.count + 1, self.count + 1 + self.unknown
        good = told["user"] == self.name and least <= told["count"] <= most
        must(good, f"{self.name}: expected a count of {least} to {most}, found {told}")
        self.count, self.unknown = told["count"], 0
        return True

    def is_a_stranger(self):
        return self.ask("/count")[0] == 401


def remaining(client):
    """The milliseconds that each key has left, and -1 for ever."""
    return {key: client.pttl(key) for key in client.scan_iter(count=1000)}


def all_remaining(addresses):
    """Over the numbered databases that the sites use."""
    found = {}
    for number in (0, 1):
        with ring(addresses, db=number) as client:
            found.update({(number, key): left for key, left in remaining(client).items()})
    return found


def wait_for_one_more_answer(visitor):
    until = time.monotonic() + PATIENCE
    while not visitor.counts_if_it_can():
        must(time.monotonic() < until, f"{visitor.name} got no answer for {PATIENCE} s after the kill")
        time.sleep(0.1)


def many_at_once(visitor, requests=24):
    """Many requests of one session at once: each is counted once."""
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: visitor.ask("/count"), range(requests)))
    refused = [answer for answer in answers if answer[0] != 200]
    must_be([], refused, f"those of {requests} requests at once that were refused")
    expected = list(range(visitor.count + 1, visitor.count + 1 + requests))
    must_be(expected, sorted(answer["count"] for _, answer in answers), f"counts of {requests} requests at once")
    visitor.count += requests


def story(site, at_once):
    must(site, "the site ended before it told its address")
    before = set(all_remaining(NODES))
    visitors = [Visitor(site, f"visitor-{n}") for n in range(VISITORS)]
    silent, restless = Visitor(site, "silent"), Visitor(site, "restless")
    for visitor in [*visitors, silent, restless]:
        visitor.login()
    for _ in range(5):
        for visitor in visitors:
            visitor.counts()
    if at_once:
        many_at_once(visitors[0])
    for _ in range(3):
        silent.counts()
    silent_since = time.monotonic()
    keys = {key: left for key, left in all_remaining(NODES).items() if key not in before}
    must_be(VISITORS + 2, len(keys), "one key a session")

    # One goes on while the node dies.
    dead, wrong = threading.Event(), []

    def go_on():
        try:
            while not dead.is_set():
                restless.counts_if_it_can()
        except NotKept as why:
            wrong.append(why)

    going_on = threading.Thread(target=go_on)
    going_on.start()
    kill_the_node()
    dead.set()
    going_on.join()
    if wrong:
        raise wrong[0]
    wait_for_one_more_answer(restless)

    # They rested: nothing of theirs was under way, so nothing of theirs may be missing or be there twice.
    for visitor in visitors:
        visitor.counts()
    elapsed = time.monotonic() - silent_since
    must(elapsed < LIFETIME - 2, f"it took {elapsed:.1f} s until here: too long to judge how sessions end")
    after = {key: left for key, left in all_remaining(NODES[1:]).items() if key not in before}
    must_be(sorted(keys), sorted(after), "the sessions' keys")
    endless = [key for key, left in after.items() if not 0 < left <= LIFETIME * 1000]
    must_be([], endless, f"keys that do not end within {LIFETIME} s")

    if at_once:
        many_at_once(visitors[0])
    # Who asks stays, who does not ask is forgotten; both after the kill, and neither before it is due.
    while time.monotonic() < silent_since + LIFETIME + 3:
        for visitor in visitors:
            visitor.counts()
        if time.monotonic() < silent_since + LIFETIME - 1:
            must_be(len(keys), len(all_remaining(NODES[1:]).keys() - before), "sessions before the silent one is due")
        time.sleep(0.5)
    must(silent.is_a_stranger(), "the silent visitor's session is over, and it is still logged in")
    for visitor in visitors:
        visitor.counts()


def main():
    # All that this starts, and what that starts, is in a group of its own, and ends with it.
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    at_once = sys.argv[1] == "--at-once"
    environment = {**os.environ, "LIFETIME": str(LIFETIME)}
    site = subprocess.Popen(
        sys.argv[2 if at_once else 1 :], env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    address = None
    for line in site.stdout:
        print(line, end="", file=sys.stderr)
        if found := re.search(r"http://127\.0\.0\.1:[1-9]\d*", line):
            address = found.group()
            break
    # What it prints is read on, or it would wait for a reader.
    threading.Thread(target=lambda: sys.stderr.writelines(site.stdout), daemon=True).start()
    try:
        run(lambda: story(address, at_once))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
        site.wait()


main()
