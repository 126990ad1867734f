"""What the programs here have in common: the nodes, what they ask to be done to those, and how they end."""

import os
import sys

NODES = os.environ["NODES"].split(",")


class NotKept(Exception):
    """Something is otherwise than it was acknowledged."""


def must_be(expected, found, what):
    if found != expected:
        raise NotKept(f"{what}: expected {expected!r}, found {found!r}")


def must(holds, what):
    if not holds:
        raise NotKept(what)


def ask(order, done):
    """Asks whoever runs this for something, and returns when it is done."""
    print(order, flush=True)
    must_be(done, sys.stdin.readline().strip(), f"the answer to `{order}`")


def kill_the_node():
    """Asks for the death of the first node."""
    ask("kill me", "killed")


def run(story):
    try:
        story()
    except NotKept as wrong:
        print(wrong, file=sys.stderr)
        sys.exit(1)
    print("kept")
