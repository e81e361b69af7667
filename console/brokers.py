"""django-q2's brokers, with a sign of life that other processes can read.

A cluster's sentinel reports its state twice a second, but django-q2 keeps that in Django's cache and
without the cluster's name: the web process could tell neither whether a cluster lives nor which. So the
report also touches `run/<cluster>.heartbeat`, which works across processes whatever the broker is.
"""

from pathlib import Path

from django.conf import settings
from django_q.brokers import orm, redis_broker
from django_q.conf import Conf


def heartbeat(cluster: str) -> Path:
    return Path(settings.RUN_FOLDER) / f"{cluster}.heartbeat"


def beat(cluster: str) -> None:
    path = heartbeat(cluster)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


class OrmBroker(orm.ORM):
    def set_stat(self, key: str, value: str, timeout: int) -> None:
        super().set_stat(key, value, timeout)
        beat(Conf.CLUSTER_NAME)


class RedisBroker(redis_broker.Redis):
    def set_stat(self, key: str, value: str, timeout: int) -> None:
        super().set_stat(key, value, timeout)
        beat(Conf.CLUSTER_NAME)
