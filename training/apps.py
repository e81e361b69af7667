from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class TrainingConfig(AppConfig):
    name = "training"

    def ready(self) -> None:
        post_migrate.connect(_schedule_reconcile, sender=apps.get_app_config("django_q"))


def _schedule_reconcile(**_signal: Any) -> None:
    """Once django-q2's tables exist: the reconcile, each minute."""
    from django_q.models import Schedule

    fields = {"func": "training.tasks.reconcile", "schedule_type": Schedule.MINUTES, "minutes": 1, "repeats": -1}
    Schedule.objects.update_or_create(name="reconcile", defaults=fields)
