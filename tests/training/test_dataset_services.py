"""dataset_create, dataset_create_sample, dataset_delete, and what the reconciliation does for datasets."""

import hashlib
import io
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django_q.models import OrmQ

from tests.corpus import classification_zip
from training import dataset_files, ingest, services
from training.errors import Conflict
from training.models import Dataset, Training

pytestmark = pytest.mark.django_db


@pytest.fixture
def create(home, project, people, tmp_path_factory):
    content = classification_zip(tmp_path_factory.mktemp("zip") / "a.zip").read_bytes()

    def call(**changes):
        values = {
            "project": project,
            "user": people.editor,
            "name": "pets",
            "algorithm": "image_classification",
            "file": SimpleUploadedFile("a.zip", content),
        }
        return services.dataset_create(**values | changes)

    call.content = content
    return call


def tasks() -> list[tuple[str, tuple[str, ...]]]:
    """(function, arguments) of the tasks that wait in the broker."""
    return [(row.task["func"], row.task["args"]) for row in OrmQ.objects.order_by("id")]


def test_an_upload_is_kept_whole_with_its_checksum_and_a_task(create, django_capture_on_commit_callbacks, people, home):
    with django_capture_on_commit_callbacks(execute=True):
        dataset = create(description="  of the house ")
    assert dataset.upload_path.read_bytes() == create.content
    dataset = Dataset.objects.get(pk=dataset.pk)
    assert (dataset.status, dataset.description, dataset.created_by) == ("VALIDATING", "of the house", people.editor)
    assert dataset.zip_bytes == len(create.content)
    assert dataset.zip_sha256 == hashlib.sha256(create.content).hexdigest()
    assert tasks() == [("training.tasks.dataset_ingest", (dataset.pk,))]
    assert list((home / "incoming").iterdir()) == []


def test_an_upload_that_is_no_whole_zip_is_refused_with_what_it_is(create):
    faults = {b"Rar!\x1a\x07\x01\x00" * 9: "of the kind RAR", create.content[:500]: "the end of the zip is missing"}
    for content, words in faults.items():
        with pytest.raises(ValidationError, match=words):
            create(file=io.BytesIO(content))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 51}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"description": "x" * 256}, "description"),
        ({"algorithm": "image_generation"}, "algorithm"),
        ({"file": None}, "file"),
        ({"file": io.BytesIO(b"not a zip")}, "file"),
        ({"file": io.BytesIO(b"")}, "file"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_left(create, home, changes, field):
    with pytest.raises(ValidationError) as caught:
        create(**changes)
    assert list(caught.value.message_dict) == [field]
    assert not Dataset.objects.exists()
    assert [p for p in home.rglob("*") if p.is_file()] == []


def test_an_upload_over_the_limit_is_refused_and_nothing_is_left(create, home, settings):
    settings.UPLOAD_MAX_BYTES = 1000
    with pytest.raises(ValidationError) as caught:
        create()
    assert "1000" in caught.value.message_dict["file"][0]
    assert [p for p in home.rglob("*") if p.is_file()] == []


def test_a_name_is_unique_in_its_project_only(create, other_project, people):
    create()
    with pytest.raises(ValidationError) as caught:
        create()
    assert list(caught.value.message_dict) == ["name"]
    assert create(project=other_project, user=people.outsider).name == "pets"


def test_a_dataset_that_an_unfinished_training_uses_cannot_be_deleted(create, people, project):
    dataset = create()
    training = Training.objects.create(
        project=project,
        name="busy",
        dataset=dataset,
        dataset_name="pets",
        algorithm=dataset.algorithm,
        status="RUNNING",
    )
    with pytest.raises(Conflict, match="busy") as caught:
        services.dataset_delete(dataset=dataset, user=people.editor)
    assert caught.value.blockers == [training]
    assert Dataset.objects.get(pk=dataset.pk).status == "VALIDATING"


def test_a_deleted_dataset_leaves_no_file_and_no_row_but_its_history(
    create, people, project, django_capture_on_commit_callbacks
):
    dataset = create()
    ingest.run(dataset.pk)
    training = Training.objects.create(
        project=project,
        name="done",
        dataset=dataset,
        dataset_name="pets",
        algorithm=dataset.algorithm,
        status="COMPLETE",
    )
    dataset.refresh_from_db()
    with django_capture_on_commit_callbacks(execute=True):
        services.dataset_delete(dataset=dataset, user=people.editor)
    assert dataset.status == "DELETE_IN_PROGRESS"
    assert tasks() == [("training.tasks.dataset_remove", (dataset.pk,))]
    events, folder, pk = dataset.events(), dataset.folder, dataset.pk
    dataset_files.remove(pk)
    dataset_files.remove(pk)  # the task may come twice
    assert not folder.exists()
    assert not Dataset.objects.filter(pk=pk).exists()
    assert [event.to_status for event in events] == ["deleted", "DELETE_IN_PROGRESS", "READY", "VALIDATING"]
    training.refresh_from_db()
    assert (training.dataset, training.dataset_name) == (None, "pets")


@pytest.mark.django_db(transaction=True)
def test_two_workers_that_remove_the_same_dataset_are_not_in_each_others_way(create, people):
    dataset = create()
    services.dataset_delete(dataset=dataset, user=people.editor)

    def second() -> None:
        dataset_files.remove(dataset.pk)
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        with dataset_files.locked(dataset.folder, wait=False) as mine:  # the first one, at the end of its work
            assert mine
            removing = pool.submit(second)
            time.sleep(0.3)
            shutil.rmtree(dataset.folder)
            Dataset.objects.filter(pk=dataset.pk).delete()
        removing.result(10)
    assert not dataset.folder.exists()


def test_a_removal_that_was_killed_halfway_is_repeated(create, people):
    dataset = create()
    services.dataset_delete(dataset=dataset, user=people.editor)
    dataset.upload_path.unlink()
    dataset_files.remove(dataset.pk)
    assert not dataset.folder.exists()
    assert not Dataset.objects.exists()


def test_a_dataset_that_is_not_being_deleted_is_never_removed(create):
    dataset = create()
    dataset_files.remove(dataset.pk)
    assert dataset.upload_path.exists()


def test_lost_tasks_are_enqueued_again_unless_someone_is_at_it(create, people):
    waiting, busy, doomed = create(), create(name="busy"), create(name="doomed")
    services.dataset_delete(dataset=doomed, user=people.editor)
    with dataset_files.locked(busy.folder, wait=False):
        dataset_files.reconcile()
    expected = [("training.tasks.dataset_ingest", (waiting.pk,)), ("training.tasks.dataset_remove", (doomed.pk,))]
    assert sorted(tasks()) == sorted(expected)
    dataset_files.reconcile()
    assert len(tasks()) == 2  # they wait for their turn: not a second time


def test_what_a_killed_process_left_is_swept_up_after_a_day(create, home):
    dataset = create()
    ingest.run(dataset.pk)
    dataset.upload_path.write_bytes(b"killed between the verdict and the removal")
    young, old = home / "incoming" / "young.zip", home / "incoming" / "old.zip"
    orphan = home / "datasets" / "orphan"
    orphan.mkdir()
    for path in (young, old):
        path.write_bytes(b"x")
    for path in (old, orphan):
        os.utime(path, (time.time() - 2 * 86400,) * 2)
    dataset_files.sweep()
    assert young.exists()
    assert not old.exists()
    assert not orphan.exists()
    assert not dataset.upload_path.exists()
    assert dataset.data_folder.exists()
