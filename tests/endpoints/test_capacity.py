"""The capacity card: what real engines do for many callers at once, and when it is measured."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from endpoints import capacity, reconcile, services
from endpoints.capacity import Pace
from endpoints.models import Stage, StageResource
from training.errors import Conflict

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def resource(project, people, model, supervisor) -> StageResource:
    """Its engine is ready."""
    endpoint, _ = services.endpoint_create(project=project, user=people.owner, name="colours", model=model)
    supervisor.until(lambda: Stage.objects.get(endpoint=endpoint).status == "ACTIVE")
    return StageResource.objects.get(stage__endpoint=endpoint)


def test_the_card_says_what_callers_got(resource):
    capacity.measure(resource.pk, Pace(row=0.5))
    resource.refresh_from_db()
    card = resource.capacity
    assert [row["callers"] for row in card["rows"]] == [1, 4, 16, 64]
    for row in card["rows"]:
        assert row["per_second"] > 1
        assert 0 < row["p50_ms"] <= row["p95_ms"]
    assert (card["replicas"], card["runtime"]) == (1, resource.settings["runtime"])
    assert card["memory_mb"] > 20
    assert resource.capacity_requested_at is None


def test_callers_that_would_wait_too_long_are_left_out(resource):
    capacity.measure(resource.pk, Pace(longest=0.0))
    resource.refresh_from_db()
    assert resource.capacity["rows"] == [{"callers": callers, "skipped": True} for callers in capacity.CALLERS]


def test_an_engine_that_is_gone_is_told(resource, supervisor):
    supervisor.stop_all()  # and the row says so; this one was read before
    StageResource.objects.update(sockets=resource.sockets)
    capacity.measure(resource.pk)
    resource.refresh_from_db()
    assert "did not answer" in resource.capacity["error"]["text"]
    assert "rows" not in resource.capacity


def test_it_is_measured_once_by_itself_and_again_on_demand(resource, people, settings):
    services.capacities_order()
    services.capacities_order()
    assert OrmQ.objects.count() == 1
    with_card = StageResource.objects.filter(pk=resource.pk)
    with_card.update(capacity={"rows": []}, capacity_requested_at=None)
    services.capacities_order()
    assert OrmQ.objects.count() == 1
    services.capacity_measure(resource=resource, user=people.owner)
    services.capacity_measure(resource=resource, user=people.owner)
    assert OrmQ.objects.count() == 2
    with_card.update(capacity_requested_at=timezone.now() - timedelta(hours=1))  # its worker was killed
    services.capacities_order()
    assert OrmQ.objects.count() == 3


def test_the_minutes_reconcile_orders_it(resource, settings):
    settings.CAPACITY_AUTOMATIC = False
    reconcile.run()
    assert not OrmQ.objects.exists()
    settings.CAPACITY_AUTOMATIC = True
    reconcile.run()
    assert OrmQ.objects.count() == 1


def test_only_an_active_stage_is_measured(resource, people):
    Stage.objects.update(status="DEPLOY_FAILED")
    with pytest.raises(Conflict, match="ACTIVE"):
        services.capacity_measure(resource=resource, user=people.owner)
    services.capacities_order()
    assert not OrmQ.objects.exists()
