"""What the minute's reconcile mends of endpoints: what a killed process left behind, and what is older than is kept."""

from endpoints import kept_images, rollup, routes
from endpoints.models import Endpoint
from endpoints.services import capacities_order, endpoint_refresh
from endpoints.services.rollouts import rollouts_decide


def run() -> None:
    """Safe at any time and as often as one likes: it derives everything anew."""
    for endpoint in Endpoint.objects.exclude(status=Endpoint.Status.DELETE_IN_PROGRESS):
        endpoint_refresh(endpoint)
    rollouts_decide()
    routes.publish()
    kept_images.sweep()
    rollup.prune()
    capacities_order()


def start_over() -> None:
    """When a worker starts, which is also after an update of the console: look at all hours that are kept."""
    rollup.mend()
