"""A resource of a stage through the API: another model, other engines."""

import pytest

from endpoints.models import StageResource
from models_registry.models import Model


@pytest.fixture
def editor(api, people, project, home):
    return api(people.editor)


@pytest.fixture
def resource(endpoint) -> StageResource:
    return endpoint.default_stage.resources.get()


@pytest.fixture
def better(model) -> Model:
    return Model.objects.create(
        project=model.project, name="better", training=model.training, algorithm=model.algorithm, status="ACTIVE"
    )


@pytest.fixture
def address(resource) -> str:
    return f"/api/v1/stages/{resource.stage_id}/resources/{resource.pk}/"


def test_the_model_is_replaced(editor, address, model, better):
    answer = editor.post(f"{address}model/", {"model": better.pk}, format="json")
    assert answer.status_code == 202
    seen = answer.json()
    assert (seen["model"], seen["next_model"], seen["deployment"]) == (model.pk, better.pk, 2)
    gone = editor.delete(f"/api/v1/models/{better.pk}/")
    assert (gone.status_code, gone.json()["error"]["fields"].keys()) == (409, {"stage"})


def test_a_model_of_another_algorithm_is_refused(editor, address, better):
    Model.objects.filter(pk=better.pk).update(algorithm="object_detection")
    answer = editor.post(f"{address}model/", {"model": better.pk}, format="json")
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["model"])


def test_engines_are_set_up_and_what_is_left_out_stays(editor, address):
    assert editor.patch(address, {"replicas": 2}, format="json").json()["deployment"] == 1
    seen = editor.patch(address, {"batch_size": 4, "batch_window_ms": 2.5}, format="json").json()
    assert (seen["replicas"], seen["batch_size"], seen["batch_window_ms"], seen["deployment"]) == (2, 4, 2.5, 2)
    seen = editor.patch(address, {"batch_size": None}, format="json").json()
    assert (seen["batch_size"], seen["batch_window_ms"]) == (None, 2.5)
    wrong = editor.patch(address, {"replicas": 33, "batch_window_ms": -1}, format="json")
    assert set(wrong.json()["error"]["fields"]) == {"replicas", "batch_window_ms"}


def test_how_many_engines_answer_and_for_which_deployment(editor, resource):
    StageResource.objects.update(deployment=3, settings={"deployment": 2}, sockets=["a.sock", "b.sock"])
    [seen] = editor.get(f"/api/v1/stages/{resource.stage_id}/").json()["resources"]
    assert (seen["ready"], seen["serving"], seen["deployment"]) == (2, 2, 3)


def test_others_may_not(api, people, address, better, editor, resource):
    assert api(people.viewer).patch(address, {"replicas": 2}, format="json").status_code == 403
    assert api(people.outsider).post(f"{address}model/", {"model": better.pk}, format="json").status_code == 404
    assert editor.patch(address.replace(resource.pk, "0" * 20), {"replicas": 2}, format="json").status_code == 404
