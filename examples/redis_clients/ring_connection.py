"""What a Python site adds to redis-py so that it outlives a node: a connection that takes the first node that serves.

Every node serves every key, so there is nobody to ask which one is right. What had no answer is asked again on a new connection,
and that is to the next node then: as often as `retry` says, which a pool of one's own does not have by itself. What was answered
with an error of which waiting helps is asked again, too: nothing of it was done.
"""

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)
from redis.retry import Retry


def helps_to_wait(error):
    """redis-py has no class of its own for BUSY, only the word; and takes a wrong password for a lost connection."""
    if isinstance(error, AuthenticationError):
        return False
    if isinstance(error, (ConnectionError, TimeoutError, OSError, ReadOnlyError, TryAgainError)):
        return True
    return str(error).startswith("BUSY ")


class PatientRetry(Retry):
    """Asks again whatever waiting helps with, and nothing else."""

    def __init__(self, backoff, retries):
        super().__init__(backoff, retries)
        self.update_supported_errors([ResponseError])

    def call_with_retry(self, do, fail, is_retryable=None, with_failure_count=False):
        return super().call_with_retry(do, fail, helps_to_wait, with_failure_count)


class RingConnection(redis.Connection):
    def __init__(self, nodes, **options):
        options.setdefault("retry", PatientRetry(ExponentialWithJitterBackoff(base=0.05, cap=1), 12))
        super().__init__(**options)
        self.nodes = list(nodes)

    def _connect(self):
        for _ in self.nodes:
            self.host, port = self.nodes[0].rsplit(":", 1)
            self.port = int(port)
            try:
                return super()._connect()
            except OSError as refused:
                last = refused
                self.pass_by()
        raise last

    def on_connect_check_health(self, check_health=True):
        try:
            super().on_connect_check_health(check_health)
            # A node that is not in the ring yet, or not any more, may take connections all the same; one that is full says so.
            self.send_command("PING")
            self.read_response()
        except (ConnectionError, ReadOnlyError):
            self.pass_by()
            raise

    def pass_by(self):
        self.nodes.append(self.nodes.pop(0))


def ring(nodes, **options):
    """A client of the ring that has these nodes."""
    return redis.Redis(connection_pool=redis.ConnectionPool(connection_class=RingConnection, nodes=nodes, **options))
