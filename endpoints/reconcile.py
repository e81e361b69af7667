"""What the minute's reconcile mends of endpoints: a status or a route table that a killed process left behind."""

from datetime import timedelta

from django.utils import timezone

from endpoints import routes
from endpoints.models import Endpoint, StageMinute
from endpoints.services import capacities_order, endpoint_refresh

KEEP_STATISTICS = timedelta(days=30)


def run() -> None:
    """Safe at any time and as often as one likes: it derives everything anew."""
    for endpoint in Endpoint.objects.exclude(status=Endpoint.Status.DELETE_IN_PROGRESS):
        endpoint_refresh(endpoint)
    routes.publish()
    capacities_order()
    StageMinute.objects.filter(minute__lt=timezone.now() - KEEP_STATISTICS).delete()
