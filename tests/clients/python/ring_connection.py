"""What a Python site adds to redis-py so that it outlives a node: a connection that takes the first node that answers.

Every node serves every key, so there is nobody to ask which one is right. What had no answer is asked again on a new connection,
and that is to the next node then: as often as `retry` says, which a pool of one's own does not have by itself.
"""

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ReadOnlyError, TryAgainError
from redis.retry import Retry


class RingConnection(redis.Connection):
    def __init__(self, nodes, **options):
        options.setdefault("retry", Retry(ExponentialWithJitterBackoff(base=0.05, cap=1), 8))
        options.setdefault("retry_on_error", [ReadOnlyError, TryAgainError])
        super().__init__(**options)
        self.nodes = nodes

    def _connect(self):
        for address in self.nodes:
            self.host, port = address.rsplit(":", 1)
            self.port = int(port)
            try:
                return super()._connect()
            except OSError as refused:
                last = refused
        raise last


def ring(nodes, **options):
    """A client of the ring that has these nodes."""
    return redis.Redis(connection_pool=redis.ConnectionPool(connection_class=RingConnection, nodes=nodes, **options))
