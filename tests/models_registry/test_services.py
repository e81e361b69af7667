"""Ordering, deleting and downloading models: the guards of the product."""

import pytest
from django.core.exceptions import ValidationError
from django_q.models import OrmQ

from endpoints.models import Endpoint, Stage, StageResource
from models_registry import services
from models_registry.models import Model
from tests.models_registry.conftest import make_training
from training.errors import Conflict
from training.models import Event, Training


def make(training: Training, user, name="signs") -> Model:
    return services.model_create(project=training.project, user=user, name=name, training=training)


def make_active(training: Training) -> Model:
    model = Model.objects.create(
        project=training.project, name="signs", training=training, algorithm=training.algorithm, status="ACTIVE"
    )
    model.folder.mkdir(parents=True)
    (model.folder / "model.json").write_text("{}")
    return model


def test_complete_training_makes_a_model_that_a_worker_is_told_to_build(
    training, user, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        model = make(training, user, " signs ")
    assert (model.name, model.status, model.algorithm) == ("signs", "CREATE_REQUESTED", "image_classification")
    assert [(task.task["func"], task.task["args"]) for task in OrmQ.objects.all()] == [
        ("models_registry.tasks.model_build", (model.pk,))
    ]
    assert Event.objects.get(object_id=model.pk).actor == user


@pytest.mark.parametrize("status", sorted(set(Training.Status.values) - {"COMPLETE"}))
def test_only_a_complete_training_makes_a_model(home, project, user, status):
    unfinished = make_training(project, status=status)
    with pytest.raises(Conflict) as caught:
        make(unfinished, user)
    assert caught.value.blockers == [unfinished]
    assert status.replace("_", " ") in str(caught.value)
    assert not Model.objects.exists()


def test_every_wrong_field_is_told_at_once(training, other_project, user):
    elsewhere = make_training(other_project)
    with pytest.raises(ValidationError) as caught:
        services.model_create(
            project=training.project, user=user, name="n" * 51, training=elsewhere, description="d" * 256
        )
    assert set(caught.value.message_dict) == {"name", "description", "training"}


def test_name_is_unique_in_its_project_only(training, other_project, user):
    make(training, user)
    with pytest.raises(ValidationError) as caught:
        make(training, user)
    assert set(caught.value.message_dict) == {"name"}
    make(make_training(other_project), user)


def test_deleting_removes_row_and_files_and_leaves_the_event(training, user):
    model = make_active(training)
    folder, pk = model.folder, model.pk
    services.model_delete(model=model, user=user)
    assert not folder.exists()
    assert not Model.objects.exists()
    newest = Event.objects.filter(object_id=pk).first()
    assert (newest.to_status, newest.from_status, newest.object_name) == ("deleted", "DELETE_IN_PROGRESS", "signs")


def test_served_model_cannot_be_deleted_and_the_stage_is_named(training, user):
    model = make_active(training)
    endpoint = Endpoint.objects.create(project=training.project, name="gate 3")
    stage = Stage.objects.create(endpoint=endpoint, name="blue")
    StageResource.objects.create(stage=stage, model=model)
    with pytest.raises(Conflict, match="gate 3 / blue") as caught:
        services.model_delete(model=model, user=user)
    assert caught.value.blockers == [stage]
    assert model.folder.exists()
    stage.delete()
    services.model_delete(model=model, user=user)


def test_model_that_a_queued_training_starts_from_cannot_be_deleted(training, user):
    model = make_active(training)
    queued = make_training(training.project, "run 2", "CREATE_REQUESTED")
    Training.objects.filter(pk=queued.pk).update(initial_weights=model.pk)
    with pytest.raises(Conflict, match="run 2"):
        services.model_delete(model=model, user=user)
    Training.objects.filter(pk=queued.pk).update(status="COMPLETE")
    services.model_delete(model=model, user=user)


def test_model_that_is_being_built_cannot_be_deleted(training, user):
    model = make_active(training)
    Model.objects.filter(pk=model.pk).update(status="CREATE_IN_PROGRESS")
    with pytest.raises(Conflict, match="CREATE IN PROGRESS"):
        services.model_delete(model=model, user=user)


def test_only_an_active_model_has_an_archive(training, user):
    with pytest.raises(Conflict):
        services.model_archive(make(training, user))


def test_weights_folder_is_relative_to_the_home(training, home):
    model = make_active(training)
    assert home / services.model_weights_folder(model) == model.folder
