"""Changing what a stage serves, on its page. The rows only: what the engines do is tests/endpoints' business."""

import pytest
from django.urls import reverse

from endpoints import processes
from endpoints.models import Stage, StageResource
from models_registry.models import Model
from tests.console import served


@pytest.fixture
def resource(endpoint) -> StageResource:
    return endpoint.default_stage.resources.get()


@pytest.fixture
def better(model) -> Model:
    """Another model of the same algorithm."""
    return served.model(model.training, "better")


def address(name: str, resource: StageResource) -> str:
    stage = resource.stage
    return reverse(name, args=[stage.project_id, stage.endpoint_id, stage.pk, resource.pk])


def page(client, resource: StageResource) -> str:
    stage = resource.stage
    return client.get(reverse("stage", args=[stage.project_id, stage.endpoint_id, stage.pk])).content.decode()


def test_an_editor_replaces_the_model_and_sees_what_is_to_come(editor, resource, better):
    answer = editor.post(address("resource_replace", resource), {"model": better.pk}, follow=True)
    assert "to be replaced by better" in answer.content.decode()
    resource.refresh_from_db()
    assert (resource.next_model, resource.deployment) == (better, 2)


def test_only_models_of_the_algorithm_are_offered_and_not_the_present_one(editor, resource, better, model):
    other = served.model(served.training(served.dataset(model.project, "boxes", "object_detection"), "boxes"), "boxes")
    text = page(editor, resource)
    choice = text[text.index(f'id="id_model_of_{resource.pk}"') :].partition("</select>")[0]
    assert f'value="{better.pk}"' in choice
    assert f'value="{model.pk}"' not in choice
    assert f'value="{other.pk}"' not in choice
    StageResource.objects.update(next_model=better)
    text = page(editor, resource)
    choice = text[text.index(f'id="id_model_of_{resource.pk}"') :].partition("</select>")[0]
    assert f'value="{model.pk}"' in choice, "so that the replacement can be taken back"


def test_engines_are_set_up_and_what_is_out_of_range_is_said_beside_its_field(editor, resource):
    address_ = address("resource_configure", resource)
    editor.post(address_, {"replicas": "3", "batch_size": "8", "batch_window_ms": ""})
    resource.refresh_from_db()
    assert (resource.replicas, resource.batch_size, resource.batch_window_ms) == (3, 8, None)
    text = editor.post(address_, {"replicas": "99", "batch_size": "8"}).content.decode()
    assert f'id="id_replicas_of_{resource.pk}_error">Must be between 0 and 32.' in text
    assert "<details" in text.partition(f'id="id_replicas_of_{resource.pk}_error"')[0]
    resource.refresh_from_db()
    assert resource.replicas == 3


def test_a_failed_deployment_says_that_the_earlier_one_goes_on(viewer, resource):
    StageResource.objects.update(deployment=2, settings={"deployment": 1, "runtime": "onnxruntime"}, sockets=["a.sock"])
    Stage.objects.update(status="DEPLOY_FAILED", status_reason={"text": "It cannot be loaded.", "params": {}})
    text = page(viewer, resource)
    assert "It cannot be loaded." in text
    assert "What was deployed before goes on answering." in text
    assert "as soon as it is ACTIVE" not in text, "it can be tried"
    StageResource.objects.update(sockets=[])
    text = page(viewer, resource)
    assert "What was deployed before" not in text
    assert "as soon as it is ACTIVE" in text


def test_a_viewer_changes_nothing(viewer, resource, better):
    assert viewer.post(address("resource_replace", resource), {"model": better.pk}).status_code == 403
    assert viewer.post(address("resource_configure", resource), {"replicas": "2"}).status_code == 403
    assert "Replace the model" not in page(viewer, resource)
    resource.refresh_from_db()
    assert (resource.next_model, resource.replicas) == (None, 0)


def test_a_resource_of_another_stage_is_not_found_there(editor, resource, model):
    other = served.endpoint(model, "other").default_stage
    stage = resource.stage
    address_ = reverse(
        "resource_configure", args=[stage.project_id, stage.endpoint_id, stage.pk, other.resources.get().pk]
    )
    assert editor.post(address_, {"replicas": "2"}).status_code == 404


def test_the_page_of_a_model_names_the_stage_that_it_is_deployed_to(viewer, resource, better):
    StageResource.objects.update(next_model=better)
    text = viewer.get(reverse("model", args=[better.project_id, better.pk])).content.decode()
    assert f"{resource.stage.endpoint} / {resource.stage}" in text


def test_the_log_of_the_engines_is_a_page_that_grows_and_a_file(viewer, resource):
    path = processes.log_path(resource.pk)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("Loading the model\nTraceback: what failed\n")
    assert address("resource_log", resource) in page(viewer, resource)
    assert "Traceback: what failed" in viewer.get(address("resource_log", resource)).content.decode()
    found = viewer.get(address("resource_log", resource), {"q": "TRACEBACK"}).content.decode()
    assert ">Traceback: what failed\n</pre>" in found
    since = viewer.get(address("resource_log_file", resource), {"offset": len("Loading the model\n")}).json()
    assert since == {"text": "Traceback: what failed\n", "offset": path.stat().st_size, "unfinished": True}
    assert b"".join(viewer.get(address("resource_log_file", resource)).streaming_content) == path.read_bytes()


def test_a_resource_whose_engines_never_started_has_an_empty_log(viewer, resource):
    assert "Nothing has been written yet." in viewer.get(address("resource_log", resource)).content.decode()
