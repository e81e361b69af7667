"""What retention removes of ended trainings, and what it never touches."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from training import retention, services
from training.models import Dataset, Training
from training.services.training_fields import clean_training
from training.trainer import checkpoints

ALGORITHM = "image_classification"


@pytest.fixture
def ended(home, project):
    """ended("COMPLETE", days=10): a training that ended so long ago, with two checkpoints, log, TensorBoard, model."""

    def make(status: str = "COMPLETE", days: float = 10, **fields) -> Training:
        training = Training.objects.create(
            project=project, name=f"t{Training.objects.count()}", status=status, algorithm=ALGORITHM,
            finished_at=timezone.now() - timedelta(days=days), **fields,
        )  # fmt: skip
        for step in (5, 10):
            folder = training.checkpoints_folder / f"checkpoint-{step}"
            folder.mkdir(parents=True)
            for name in checkpoints.NEEDED:
                (folder / name).write_text(f"{name} {step}")
            checkpoints.seal(folder, {})
        for name in ("train.log", "events.jsonl", "tensorboard/events.out", "model/model.safetensors"):
            (training.folder / name).parent.mkdir(exist_ok=True)
            (training.folder / name).write_text("something")
        return training

    return make


def keep(project, **days) -> None:
    services.project_retention_set(project=project, user=None, **days)


def left(training: Training) -> set[str]:
    names = {path.name for path in training.folder.iterdir()} | {
        path.name for path in checkpoints.all_checkpoints(training.checkpoints_folder)
    }
    return names - {"checkpoints"}


ALL = {"train.log", "events.jsonl", "tensorboard", "model", "checkpoint-5", "checkpoint-10"}


def test_by_default_everything_is_kept(ended):
    old = ended(days=3000)
    retention.run()
    assert left(old) == ALL


def test_each_kind_goes_after_its_own_days_and_the_training_says_so(project, ended):
    keep(project, logs=5, tensorboard=None, checkpoints=20)
    old, older = ended(days=10), ended(days=30)
    retention.run()
    retention.run()  # again: nothing is removed twice
    assert left(old) == ALL - {"train.log", "events.jsonl"}
    assert left(older) == {"tensorboard", "model"}
    assert list(old.events().values_list("to_status", flat=True)) == ["log_removed"]
    assert sorted(older.events().values_list("to_status", flat=True)) == ["checkpoints_removed", "log_removed"]
    assert older.events().first().reason["params"]["days"] in (5, 20)


@pytest.mark.parametrize("status", Training.UNFINISHED)
def test_an_unfinished_training_is_never_touched(project, ended, status):
    keep(project, logs=1, tensorboard=1, checkpoints=1)
    running = ended(status)
    retention.run()
    assert left(running) == ALL


def test_a_stopped_training_keeps_what_its_resume_needs(project, ended):
    keep(project, checkpoints=1)
    stopped, torn = ended("STOPPED"), ended("STOPPED")
    (torn.checkpoints_folder / "checkpoint-10" / "model.safetensors").write_text("torn")
    retention.run()
    assert left(stopped) == ALL - {"checkpoint-5"}
    assert "checkpoint-5" in left(torn)  # the newest that is whole


def test_a_checkpoint_that_another_training_starts_from_stays(project, ended):
    keep(project, checkpoints=1)
    origin = ended()
    ended("CREATE_REQUESTED", checkpoint=f"{origin.pk}/checkpoint-5")
    retention.run()
    assert left(origin) == ALL - {"checkpoint-10"}


def test_another_project_keeps_its_own(project, other_project, ended):
    keep(other_project, logs=1, checkpoints=1)
    old = ended()
    retention.run()
    assert left(old) == ALL


def test_a_half_removed_folder_of_a_killed_process_goes_with_the_next_run(project, ended):
    keep(project, logs=1)
    old = ended()
    (old.folder / "removed-checkpoint-3.tmp").mkdir()
    retention.run()
    assert left(old) == ALL - {"train.log", "events.jsonl"}


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "7", 100_000])
def test_days_that_are_none_are_refused_by_name(project, people, wrong):
    with pytest.raises(ValidationError) as refused:
        services.project_retention_set(project=project, user=people.owner, logs=wrong, other=3)
    assert set(refused.value.message_dict) == {"logs", "other"}


def test_a_checkpoint_that_is_deleted_while_the_form_is_sent_is_refused_by_name(project, people, ended, monkeypatch):
    """The deletion comes between the look and the row, as another process's would."""
    origin, data = ended(), Dataset.objects.create(project=project, name="d", algorithm=ALGORITHM, status="READY")

    def look(**given):
        found = clean_training(**given)
        services.training_checkpoints_delete(training=origin, user=people.editor)
        return found

    monkeypatch.setattr("training.services.trainings.clean_training", look)
    with pytest.raises(ValidationError) as refused:
        services.training_create(
            project=project, user=people.editor, name="n", dataset=data, checkpoint=f"{origin.pk}/checkpoint-5"
        )
    assert set(refused.value.message_dict) == {"checkpoint"}
