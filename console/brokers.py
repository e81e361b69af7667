"""django-q2's brokers, with a sign of life that other processes can read.

A cluster's sentinel reports its state twice a second, but django-q2 keeps that in Django's cache and
without the cluster's name: the web process could tell neither whether a cluster lives nor which. So the
report also touches the cluster's heartbeat, which works across processes and hosts whatever the broker is.
"""

from django_q.brokers import orm, redis_broker
from django_q.conf import Conf

from training import gpus, heartbeats


class OrmBroker(orm.ORM):
    def set_stat(self, key: str, value: str, timeout: int) -> None:
        super().set_stat(key, value, timeout)
        heartbeats.beat(Conf.CLUSTER_NAME, Conf.WORKERS, len(gpus.visible()))


class RedisBroker(redis_broker.Redis):
    def set_stat(self, key: str, value: str, timeout: int) -> None:
        super().set_stat(key, value, timeout)
        heartbeats.beat(Conf.CLUSTER_NAME, Conf.WORKERS, len(gpus.visible()))
