"""Starting, deciding and ending a rollout: guards, the rule, the default stage, the history."""

import httpx
import pytest

from endpoints import reconcile, services
from endpoints.invoke import StageApplication
from endpoints.models import Endpoint, Rollout, Stage
from endpoints.rollout_figures import summary
from endpoints.services.rollouts import rollout_count
from endpoints.statistics import bound
from tests.endpoints.colours import colour_model, request
from tests.endpoints.test_services import deploy, errors_of, published
from tests.endpoints.web import serving
from training.algorithms.base import Message
from training.errors import Conflict
from training.models import Event

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def endpoint(project, people, model) -> Endpoint:
    made = services.endpoint_create(project=project, user=people.owner, name="signs", model=model)[0]
    deploy(made.default_stage, "DEPLOY_IN_PROGRESS", "ACTIVE")
    return made


@pytest.fixture
def canary(project, endpoint, people) -> Stage:
    stage = services.stage_create(
        endpoint=endpoint, user=people.owner, name="canary", model=colour_model(project, "newer")
    )
    deploy(stage, "DEPLOY_IN_PROGRESS", "ACTIVE")
    return stage


@pytest.fixture
def start(endpoint, canary, people):
    def rollout(**values) -> Rollout:
        chosen = {"endpoint": endpoint, "user": people.owner, "stage": canary, "mode": "canary", "share": 10} | values
        return services.rollout_start(**chosen)

    return rollout


def refused(call, **arguments) -> str:
    with pytest.raises(Conflict) as caught:
        call(**arguments)
    return str(caught.value.message)


def side(calls: int, errors: int = 0, ms: float = 10) -> dict:
    return {"calls": calls, "errors": errors, "latencies": {bound(ms): calls - errors}}


def told(rollout: Rollout) -> tuple[str, str]:
    rollout.refresh_from_db()
    return rollout.status, str(Message.from_json(rollout.status_reason)) if rollout.status_reason else ""


def test_rollout_is_published_until_it_ends(endpoint, start, people):
    rollout = start(mode="shadow", share=25)
    assert published()[endpoint.pk]["rollout"] == {
        "id": rollout.pk, "stage": "canary", "mode": "shadow", "share": 25
    }  # fmt: skip
    services.rollout_end(rollout=rollout, user=people.editor)
    assert published()[endpoint.pk]["rollout"] is None
    assert rollout.status == "ENDED"
    events = Event.objects.filter(kind="rollout", object_id=rollout.pk).order_by("id")
    assert [(event.to_status, event.actor) for event in events] == [("RUNNING", people.owner), ("ENDED", people.editor)]
    assert events[0].object_name == "canary"


def test_every_wrong_value_is_named_at_once(start):
    found = errors_of(
        start, mode="both", share=0, min_calls=0, max_error_percent=float("nan"), max_p95_ms=-1.0, automatic=True
    )
    assert set(found) == {"mode", "share", "min_calls", "max_error_percent", "max_p95_ms"}
    assert not Rollout.objects.exists()


def test_only_an_active_stage_beside_the_default_one_is_tried(endpoint, canary, start):
    assert "default stage itself" in refused(start, stage=endpoint.default_stage)
    deploy(canary, "DEPLOY_FAILED")
    assert "not ACTIVE" in refused(start)


def test_candidate_must_answer_what_the_default_stage_answers(endpoint, start, people, project):
    other = services.stage_create(
        endpoint=endpoint,
        user=people.owner,
        name="other",
        model=colour_model(project, "third"),
        resource_path="/elsewhere",
    )
    deploy(other, "DEPLOY_IN_PROGRESS", "ACTIVE")
    assert "no model of the same algorithm under /inference" in refused(start, stage=other)


def test_one_rollout_runs_at_a_time(start, people):
    first = start()
    assert "running already" in refused(start)
    services.rollout_roll_back(rollout=first, user=people.owner)
    assert start().status == "RUNNING"
    for call in (services.rollout_promote, services.rollout_roll_back, services.rollout_end):
        assert "has ended" in refused(call, rollout=first, user=people.owner)


def test_stage_in_a_rollout_is_not_deleted(start, canary, people):
    rollout = start()
    assert "canary is being tried" in refused(services.stage_delete, stage=canary, user=people.owner)
    services.rollout_end(rollout=rollout, user=people.owner)
    services.stage_delete(stage=canary, user=people.owner)


def test_promotion_makes_the_candidate_the_default(endpoint, canary, start, people):
    rollout = start()
    services.rollout_promote(rollout=rollout, user=people.owner)
    endpoint.refresh_from_db()
    assert endpoint.default_stage == canary
    assert rollout.status == "PROMOTED"
    route = published()[endpoint.pk]
    assert (route["default"], route["rollout"]) == ("canary", None)


def test_candidate_that_is_down_is_not_promoted(endpoint, canary, start, people):
    rollout = start(automatic=True, min_calls=1)
    deploy(canary, "DEPLOY_FAILED")
    assert "not ACTIVE" in refused(services.rollout_promote, rollout=rollout, user=people.owner)
    rollout_count({rollout.pk: {"candidate": side(10)}})
    assert told(rollout)[0] == "RUNNING"
    deploy(canary, "DEPLOY_IN_PROGRESS", "ACTIVE")
    reconcile.run()
    assert told(rollout)[0] == "PROMOTED"
    endpoint.refresh_from_db()
    assert endpoint.default_stage == canary


def test_another_default_stage_ends_the_rollout(endpoint, canary, start, people, model):
    rollout = start()
    services.endpoint_set_default(endpoint=endpoint, stage=canary, user=people.owner)
    assert told(rollout)[0] == "PROMOTED"
    back = start(stage=endpoint.stages.get(name="default"))
    third = services.stage_create(endpoint=endpoint, user=people.owner, name="third", model=model)
    deploy(third, "DEPLOY_IN_PROGRESS", "ACTIVE")
    services.endpoint_set_default(endpoint=endpoint, stage=third, user=people.owner)
    assert told(back) == ("ENDED", "The default stage is now third.")


def test_figures_add_up(start):
    rollout = start()
    for _ in range(3):
        rollout_count({rollout.pk: {"default": side(7, 1), "candidate": side(2), "compared": 2, "agreed": 1}})
    rollout.refresh_from_db()
    figures = summary(rollout.figures)
    assert (figures["default"]["calls"], figures["default"]["errors"]) == (21, 3)
    assert figures["default"]["error_percent"] == pytest.approx(14.29)
    assert figures["candidate"]["p95"] == pytest.approx(10, rel=0.25)
    assert (figures["compared"], figures["agreed_percent"], figures["dropped"]) == (6, 50.0, 0)
    assert summary({})["candidate"] == {
        "calls": 0, "errors": 0, "error_percent": None, "p50": None, "p95": None, "p99": None
    }  # fmt: skip
    services.rollout_end(rollout=rollout, user=None)
    rollout_count({rollout.pk: {"default": side(7)}, "gone": {"default": side(7)}})
    assert summary(Rollout.objects.get().figures)["default"]["calls"] == 21, "what comes late is not of the rollout"


@pytest.mark.parametrize(
    ("seen", "status", "why"),
    [
        (side(99), "RUNNING", ""),
        (side(100), "PROMOTED", "0 of 100 calls failed"),
        (side(100, 2), "PROMOTED", "2 of 100 calls failed"),
        (side(100, 3), "ROLLED_BACK", "3 of 100 calls failed, more than 2 %."),
        (side(3, 3), "ROLLED_BACK", "3 of 3 calls failed"),
        (side(2, 2), "RUNNING", ""),
        (side(200, 4), "PROMOTED", "4 of 200"),
        (side(100, 0, ms=80), "ROLLED_BACK", "more than 50 ms"),
        (side(99, 0, ms=80), "RUNNING", ""),
    ],
    ids=["too few", "well", "just", "too many errors", "early", "not yet", "more calls", "slow", "slow but few"],
)
def test_rule_decides(endpoint, start, seen, status, why):
    rollout = start(automatic=True, min_calls=100, max_error_percent=2, max_p95_ms=50)
    rollout_count({rollout.pk: {"candidate": seen}})
    assert told(rollout)[0] == status
    assert why in told(rollout)[1]
    endpoint.refresh_from_db()
    assert endpoint.default_stage.name == ("canary" if status == "PROMOTED" else "default")


def test_rollout_by_hand_is_never_decided(start):
    rollout = start(min_calls=1)
    rollout_count({rollout.pk: {"candidate": side(100, 100)}})
    reconcile.run()
    assert told(rollout)[0] == "RUNNING"


def test_deleting_the_endpoint_takes_its_rollouts_along(endpoint, start, canary, people):
    services.rollout_promote(rollout=start(), user=people.owner)
    services.stage_delete(stage=endpoint.stages.get(name="default"), user=people.owner)
    services.stage_remove(stage=endpoint.stages.get(name="default"))
    services.endpoint_delete(endpoint=endpoint, user=people.owner)
    services.stage_remove(stage=Stage.objects.get(pk=canary.pk))
    assert not Rollout.objects.exists()


def test_journey_of_a_canary(home, project, people, model, supervisor):
    """Real engines and the real web application: a canary answers, is promoted by itself, and nobody has an error."""
    endpoint, key = services.endpoint_create(project=project, user=people.owner, name="Colours", model=model)
    better = colour_model(project, "better", ("crimson", "lime", "navy"))
    stage = services.stage_create(endpoint=endpoint, user=people.owner, name="canary", model=better)
    supervisor.until(lambda: not Stage.objects.exclude(status="ACTIVE").exists())
    with (
        serving(StageApplication()) as url,
        httpx.Client(base_url=url, headers={"X-API-Key": key}) as client,
    ):

        def label() -> str:
            return client.post(endpoint.path, json=request()).raise_for_status().json()[0]["label"]

        assert {label() for _ in range(5)} == {"red"}
        rollout = services.rollout_start(
            endpoint=endpoint, user=people.owner, stage=stage, mode="canary", share=50, automatic=True, min_calls=10
        )
        labels: list[str] = []
        while published()[endpoint.pk]["default"] != "canary":
            labels.append(label())
            assert len(labels) < 5000
        assert {label() for _ in range(5)} == {"crimson"}
    figures = summary(Rollout.objects.get().figures)
    assert figures["candidate"]["calls"] >= 10
    assert abs(figures["candidate"]["calls"] - figures["default"]["calls"]) <= 1
    assert told(rollout)[0] == "PROMOTED"
