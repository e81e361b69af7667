"""Projects, experiments and trainings, as the pages and the API change them."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.utils import timezone
from django_q.models import OrmQ

from models_registry.models import Model
from training import services
from training.errors import Conflict
from training.models import Dataset, Experiment, MetricPoint, Training

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    return get_user_model().objects.create_user("alice")


@pytest.fixture
def bob():
    return get_user_model().objects.create_user("bob")


@pytest.fixture
def project(alice):
    return services.project_create(name="Pets", owner=alice)


@pytest.fixture
def dataset(project):
    return Dataset.objects.create(project=project, name="cats", algorithm="image_classification", status="READY")


@pytest.fixture
def create(project, alice, dataset):
    def create(**changes):
        return services.training_create(
            **{"project": project, "user": alice, "name": "t", "dataset": dataset, **changes}
        )

    return create


def errors(call, **fields):
    with pytest.raises(ValidationError) as caught:
        call(**fields)
    return caught.value.message_dict


def checkpoint_of(training, step=5):
    folder = training.checkpoints_folder / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    (folder / "model.safetensors").write_bytes(b"weights")
    return f"{training.pk}/checkpoint-{step}"


def ended(training, status="STOPPED"):
    Training.objects.filter(pk=training.pk).update(status=status)
    training.refresh_from_db()
    return training


def test_the_owner_of_a_new_project_is_its_admin(project, alice):
    assert [(m.user, m.role) for m in project.memberships.all()] == [(alice, "admin")]
    assert project.events.get().to_status == "created"


def test_a_project_never_loses_its_last_admin(project, alice, bob):
    services.member_set(project=project, user=bob, role="viewer", actor=alice)
    for change in (
        lambda: services.member_remove(project=project, user=alice, actor=alice),
        lambda: services.member_set(project=project, user=alice, role="editor", actor=alice),
    ):
        with pytest.raises(Conflict, match="last admin"):
            change()
    services.member_set(project=project, user=bob, role="admin", actor=alice)
    services.member_remove(project=project, user=alice, actor=bob)
    assert [m.user for m in project.memberships.all()] == [bob]


def test_a_project_needs_a_name_of_its_own(project, alice):
    assert "already taken" in errors(services.project_create, name=" Pets ", owner=alice)["name"][0]
    assert "required" in errors(services.project_create, name="  ", owner=alice)["name"][0]
    assert "50" in errors(services.project_create, name="x" * 51, owner=alice)["name"][0]


def test_an_experiment_with_trainings_stays(project, alice, create):
    experiment = services.experiment_create(project=project, user=alice, name="first")
    training = create(experiment=experiment)
    with pytest.raises(Conflict) as caught:
        services.experiment_delete(experiment=experiment, user=alice)
    assert caught.value.blockers == [training]
    services.training_delete(training=ended(training), user=alice)
    services.experiment_delete(experiment=experiment, user=alice)
    assert not Experiment.objects.exists()


def test_name_and_dataset_suffice(create, dataset, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        training = create()
    assert (training.algorithm, training.status) == ("image_classification", "CREATE_REQUESTED")
    assert training.hyperparameters == training.spec.defaults()
    assert (training.initial_weights, training.timeout_minutes) == ("auto", 1440)
    task = OrmQ.objects.get()
    assert (task.key, task.func(), task.args()) == ("training", "training.tasks.training_run", (training.pk,))


def test_every_wrong_field_is_named_at_once(create, alice, dataset):
    other = services.project_create(name="Other", owner=alice)
    wrong = errors(
        create,
        name="x" * 51,
        description="y" * 256,
        hyperparameters={"learning_rate": float("nan"), "num_train_epochs": 0, "momentum": 1},
        initial_weights="0123456789abcdef0123",
        experiment=Experiment.objects.create(project=other, name="e"),
        device="tpu",
        timeout_minutes=30 * 24 * 60 + 1,
    )
    assert set(wrong) == {
        "name",
        "description",
        "hyperparameters.learning_rate",
        "hyperparameters.num_train_epochs",
        "hyperparameters.momentum",
        "initial_weights",
        "experiment",
        "device",
        "timeout_minutes",
    }
    assert "[1 ~ ∞)" in wrong["hyperparameters.num_train_epochs"][0]
    assert not Training.objects.exists()


WRONG = {"timeout_minutes": (0, -1, True, "60", 1.5, None), "early_stopping": (-1, True, "3", 1.5, None, 1001)}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
def test_time_and_patience_are_whole_numbers_in_their_range(create, field, value):
    assert set(errors(create, **{field: value})) == {field}


def test_the_dataset_must_be_ready_the_projects_and_of_the_algorithm(create, dataset, alice):
    assert "not for Object Detection" in errors(create, algorithm="object_detection")["dataset"][0]
    assert "algorithm" in errors(create, algorithm="diffusion")
    assert "dataset" in errors(create, dataset=None)
    Dataset.objects.filter(pk=dataset.pk).update(status="VALIDATING")
    dataset.refresh_from_db()
    assert "VALIDATING" in errors(create)["dataset"][0]
    elsewhere = Dataset.objects.create(
        project=services.project_create(name="Other", owner=alice),
        name="dogs",
        algorithm="image_classification",
        status="READY",
    )
    assert "project's datasets" in errors(create, dataset=elsewhere)["dataset"][0]


def test_a_name_is_unique_in_its_project(create):
    create()
    assert "already taken" in errors(create)["name"][0]


def test_starting_from_a_checkpoint_of_the_project(create, project):
    first = ended(create())
    checkpoint = checkpoint_of(first)
    (first.checkpoints_folder / "checkpoint-9.tmp").mkdir()  # half written
    assert [c["id"] for c in services.training_checkpoints(project, "image_classification")] == [checkpoint]
    assert services.training_checkpoints(project, "object_detection") == []

    second = create(name="second", checkpoint=checkpoint)
    assert second.weights_folder == f"trainings/{first.pk}/checkpoints/checkpoint-5"
    assert "checkpoint" in errors(create, name="third", checkpoint=f"{first.pk}/checkpoint-6")
    assert "checkpoint" in errors(create, name="third", checkpoint=f"{first.pk}/../{first.pk}/checkpoint-5")
    assert "initial_weights" in errors(create, name="third", checkpoint=checkpoint, initial_weights="scratch")


def test_initial_weights_of_a_model_come_from_inside_the_console(create, settings, tmp_path):
    folder = settings.CONSOLE_HOME / "models" / "m1"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    training = create(initial_weights="0123456789abcdef0123", weights_folder=str(folder))
    assert training.weights_folder == "models/m1"
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert "initial_weights" in errors(create, name="u", initial_weights="m2", weights_folder=str(tmp_path))


def test_stopping_a_queued_training_is_done_at_once(create, alice):
    training = create()
    services.training_stop(training=training, user=alice)
    assert training.status == "STOPPED"
    event = training.events().first()
    assert (event.from_status, event.to_status, event.actor) == ("CREATE_REQUESTED", "STOPPED", alice)
    with pytest.raises(Conflict, match="STOPPED"):
        services.training_stop(training=training, user=alice)


def test_stopping_a_running_one_asks_its_runner_even_from_a_stale_page(create, alice):
    training = create()
    Training.objects.filter(pk=training.pk).update(status="RUNNING")  # the page still thinks it is queued
    services.training_stop(training=training, user=alice)
    assert Training.objects.get().status == "STOP_IN_PROGRESS"
    services.training_stop(training=training, user=alice)  # twice is once


@pytest.mark.parametrize("status", ["STOPPED", "FAIL_TRAIN", "CREATE_FAILED"])
def test_resuming_queues_it_again_with_a_clean_count(create, alice, status, django_capture_on_commit_callbacks):
    training = ended(create(), status)
    Training.objects.filter(pk=training.pk).update(attempts=3, run_seconds=500)
    training.refresh_from_db()
    with django_capture_on_commit_callbacks(execute=True):
        services.training_resume(training=training, user=alice)
    training.refresh_from_db()
    assert (training.status, training.attempts, training.run_seconds) == ("CREATE_REQUESTED", 0, 0)
    assert OrmQ.objects.count() == 1


@pytest.mark.parametrize("status", ["COMPLETE", "RUNNING", "CREATE_REQUESTED"])
def test_only_an_ended_unfinished_one_resumes(create, alice, status):
    with pytest.raises(Conflict, match=status.replace("_", " ")):  # as the page writes it
        services.training_resume(training=ended(create(), status), user=alice)


def test_deleting_removes_row_files_and_points_but_not_the_history(create, alice):
    training = ended(create())
    checkpoint_of(training)
    MetricPoint.objects.create(training=training, name="loss", step=1, epoch=1, value=1)
    folder, events = training.folder, training.events()
    services.training_delete(training=training, user=alice)
    assert not folder.exists()
    assert not Training.objects.exists()
    assert not MetricPoint.objects.exists()
    assert events.first().to_status == "deleted"


@pytest.mark.parametrize("status", Training.UNFINISHED)
def test_an_unfinished_training_is_not_deleted(create, alice, status):
    with pytest.raises(Conflict, match="stop it first"):
        services.training_delete(training=ended(create(), status), user=alice)


def test_a_training_with_a_model_is_not_deleted_and_the_model_is_named(create, alice, project):
    training = ended(create(), "COMPLETE")
    model = Model.objects.create(project=project, name="best", training=training, algorithm=training.algorithm)
    with pytest.raises(Conflict, match="best") as caught:
        services.training_delete(training=training, user=alice)
    assert caught.value.blockers == [model]
    assert Training.objects.exists()


def test_a_training_that_another_one_is_to_start_from_is_not_deleted(create, alice, project):
    training = ended(create())
    other = create(name="second", checkpoint=checkpoint_of(training))
    with pytest.raises(Conflict, match="second") as caught:
        services.training_delete(training=training, user=alice)
    assert caught.value.blockers == [other]
    ended(other)
    services.training_delete(training=training, user=alice)


def test_what_someone_else_has_just_deleted_is_a_conflict_and_no_crash(create, alice, project):
    training = ended(create())
    experiment = services.experiment_create(project=project, user=alice, name="sizes")
    for delete, row in ((services.training_delete, training), (services.experiment_delete, experiment)):
        stale = type(row).objects.get(pk=row.pk)  # as a second click has loaded it
        name = type(row)._meta.model_name
        delete(**{name: row}, user=alice)
        with pytest.raises(Conflict, match="has just been deleted"):
            delete(**{name: stale}, user=alice)


def test_the_checkpoints_of_one_that_still_trains_are_not_offered(create, project):
    training = ended(create(), "RUNNING")
    checkpoint_of(training)
    assert services.training_checkpoints(project, training.algorithm) == []


def test_a_copy_fills_the_form_and_makes_another_training(create, project, alice, dataset):
    training = create(name="cats-2", hyperparameters={"learning_rate": 0.001}, device="cpu")
    values = services.training_copy_values(training)
    assert values["name"] == "cats-3"
    again = services.training_create(project=project, user=alice, **{**values, "dataset": dataset, "experiment": None})
    assert again.hyperparameters == training.hyperparameters
    assert services.training_copy_values(ended(training))["name"] == "cats-4"


def test_the_oldest_is_next(create):
    first, second = create(name="a"), create(name="b")
    Training.objects.filter(pk=first.pk).update(created_at=timezone.now() - timedelta(hours=1))
    first.refresh_from_db()
    assert (services.training_position(first), services.training_position(second)) == (1, 2)
    assert services.training_position(ended(first, "RUNNING")) == 0
    assert services.training_position(second) == 1
