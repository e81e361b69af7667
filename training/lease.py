"""Who runs a training now: a lease on its row, taken by compare-and-set and renewed while the runner lives.

A task that is delivered twice, or a second host, finds the lease taken and leaves. The lease of a runner
that died is free at once on the same host (its process is gone) and after LEASE_SECONDS elsewhere: a pid says
nothing on another host. (Hosts' clocks may differ by less than that.)
"""

import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from training.heartbeats import host_name
from training.models import Training
from training.processes import ProcessId

RENEWALS = 6  # in LEASE_SECONDS


class LeaseLost(Exception):
    """Another runner holds the training now: this one must let go of it without touching anything."""


def held(training: Training) -> bool:
    """Whether a runner that lives holds `training`, as far as the loaded row tells."""
    if not training.lease_owner or training.lease_until is None or training.lease_until < timezone.now():
        return False
    _host, pid, started, _token = training.lease_owner.rsplit(":", 3)
    return not held_here(training) or ProcessId(int(pid), float(started)).alive()


def held_here(training: Training) -> bool:
    """Whether the lease, as the loaded row has it, was taken by a process of this host."""
    return host_of(training) == host_name()


def host_of(training: Training) -> str:
    """The host of the process that took the lease, as the loaded row has it."""
    return training.lease_owner.rsplit(":", 3)[0]


def take(training: Training) -> str:
    """Take the lease of `training`. -> the owner's mark, or "" when another runner has it."""
    training.refresh_from_db()
    if held(training):
        return ""
    owner = f"{host_name()}:{ProcessId.own()}:{secrets.token_hex(4)}"
    old = {"lease_owner": training.lease_owner, "lease_until": training.lease_until}
    won = Training.objects.filter(pk=training.pk, **old).update(lease_owner=owner, lease_until=_until())
    training.refresh_from_db()
    return owner if won else ""


def renew_seconds() -> float:
    """How often a runner renews its lease."""
    return settings.LEASE_SECONDS / RENEWALS


def renew(training_id: str, owner: str) -> None:
    """Hold the lease for LEASE_SECONDS from now. Raises LeaseLost."""
    if not Training.objects.filter(pk=training_id, lease_owner=owner).update(lease_until=_until()):
        raise LeaseLost(training_id)


def confirm(training_id: str, owner: str) -> None:
    """Inside a transaction: hold the row, so that until its end nobody can take the lease. Raises LeaseLost."""
    if not Training.objects.select_for_update().filter(pk=training_id, lease_owner=owner).exists():
        raise LeaseLost(training_id)


def release(training_id: str, owner: str) -> None:
    """Let go, when it is still ours."""
    Training.objects.filter(pk=training_id, lease_owner=owner).update(lease_owner="", lease_until=None)


def _until() -> datetime:
    return timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)
