"""django-redis, told by its options to connect to the first node that answers."""

import os

from django_site import serve
from ring_connection import RingConnection

NODES = os.environ["NODES"].split(",")

serve(
    {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": f"redis://{NODES[0]}/1",
        "OPTIONS": {"CONNECTION_POOL_KWARGS": {"connection_class": RingConnection, "nodes": NODES}},
    }
)
