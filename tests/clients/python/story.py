"""What the programs here have in common: the nodes, the kill, and how they end."""

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


def kill_the_node():
    """Asks whoever runs this to kill the first node, and returns when it is dead."""
    print("kill me", flush=True)
    must_be("killed", sys.stdin.readline().strip(), "the answer to `kill me`")


def run(story):
    try:
        story()
    except NotKept as wrong:
        print(wrong, file=sys.stderr)
        sys.exit(1)
    print("kept")
