"""Rollouts through the API: start, look, promote."""

import pytest

from endpoints.models import Rollout, Stage, StageResource
from endpoints.services.rollouts import rollout_count

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def editor(api, people, project, home):
    return api(people.editor)


@pytest.fixture
def canary(endpoint, model) -> Stage:
    stage = Stage.objects.create(endpoint=endpoint, name="canary", status="ACTIVE")
    StageResource.objects.create(stage=stage, model=model)
    return stage


@pytest.fixture
def started(editor, endpoint, canary) -> dict:
    body = {"stage": canary.pk, "mode": "shadow", "share": 20}
    answer = editor.post(f"/api/v1/endpoints/{endpoint.pk}/rollouts/", body, format="json")
    assert answer.status_code == 201
    return answer.json()


def test_rollout_is_started_watched_and_promoted(editor, endpoint, canary, started):
    assert (started["status"], started["stage_name"], started["share"]) == ("RUNNING", "canary", 20)
    assert (started["automatic"], started["min_calls"], started["max_p95_ms"]) == (False, 100, None)
    rollout_count(
        {started["id"]: {"candidate": {"calls": 4, "errors": 1, "latencies": {"10": 3}}, "compared": 3, "agreed": 2}}
    )
    seen = editor.get(f"/api/v1/rollouts/{started['id']}/").json()["figures"]
    assert (seen["candidate"]["calls"], seen["candidate"]["error_percent"], seen["agreed_percent"]) == (4, 25.0, 66.7)
    ended = editor.post(f"/api/v1/rollouts/{started['id']}/promote/").json()
    assert ended["status"] == "PROMOTED"
    assert editor.get(f"/api/v1/endpoints/{endpoint.pk}/").json()["stages"][1]["is_default"] is True
    listed = editor.get(f"/api/v1/endpoints/{endpoint.pk}/rollouts/").json()
    assert [row["id"] for row in listed["results"]] == [started["id"]]


@pytest.mark.parametrize(("call", "status"), [("roll-back", "ROLLED_BACK"), ("end", "ENDED")])
def test_rollout_ends_once(editor, started, call, status):
    address = f"/api/v1/rollouts/{started['id']}/{call}/"
    assert editor.post(address).json()["status"] == status
    assert editor.post(address).status_code == 409


def test_stage_in_the_way_is_named(editor, endpoint, canary, started):
    body = {"stage": canary.pk, "mode": "canary", "share": 20}
    answer = editor.post(f"/api/v1/endpoints/{endpoint.pk}/rollouts/", body, format="json")
    assert answer.status_code == 409
    assert answer.json()["error"]["fields"] == {"stage": [f"canary ({canary.pk})"]}
    refused = editor.delete(f"/api/v1/stages/{canary.pk}/")
    assert refused.status_code == 409
    assert "rollout" in refused.json()["error"]["message"]


def test_wrong_values_are_named(editor, endpoint, canary):
    body = {"stage": canary.pk, "mode": "both", "share": 20}
    answer = editor.post(f"/api/v1/endpoints/{endpoint.pk}/rollouts/", body, format="json")
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["mode"])
    body |= {"mode": "canary", "share": 0, "min_calls": 0}
    answer = editor.post(f"/api/v1/endpoints/{endpoint.pk}/rollouts/", body, format="json")
    assert (answer.status_code, set(answer.json()["error"]["fields"])) == (400, {"share", "min_calls"})


def test_viewer_looks_and_the_outsider_does_not(api, people, started, endpoint):
    viewer, outsider = api(people.viewer), api(people.outsider)
    address = f"/api/v1/rollouts/{started['id']}/"
    assert viewer.get(address).status_code == 200
    assert outsider.get(address).status_code == 404
    assert viewer.post(f"{address}promote/").status_code == 403
    assert viewer.post(f"/api/v1/endpoints/{endpoint.pk}/rollouts/", {}, format="json").status_code == 403
    assert outsider.get(f"/api/v1/endpoints/{endpoint.pk}/rollouts/").status_code == 404
    assert Rollout.objects.get().status == "RUNNING"
