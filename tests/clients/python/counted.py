"""A pause before something is asked again, and how often there was one."""

from redis.backoff import ConstantBackoff


class Counted(ConstantBackoff):
    pauses = 0  # of all together: redis-py gives each connection a copy of its own

    def compute(self, failures):
        Counted.pauses += 1
        return super().compute(failures)
