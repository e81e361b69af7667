"""Uploads at the level of files and rows: kills at the worst moments, what is given up, wrong checksums."""

import hashlib
import io
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from django_q.models import OrmQ

from tests import corpus
from training import dataset_files, dataset_work, ingest, services
from training.dataset_work import Abandoned
from training.incoming import Checksum, Cut, Upload
from training.models import Dataset
from training.services import uploads


@pytest.fixture
def content(tmp_path) -> bytes:
    return corpus.classification_zip(tmp_path / "a.zip").read_bytes()


@pytest.fixture
def begin(home, project, people):
    def make(size: int, **fields) -> Dataset:
        values = {"name": "signs", "algorithm": "image_classification", "filename": "signs.zip"} | fields
        return services.dataset_upload_begin(project=project, user=people.editor, size=size, **values)

    return make


def append(dataset: Dataset, start: int, content: bytes, **options) -> int:
    return services.dataset_upload_append(
        dataset=dataset, user=dataset.created_by, start=start, read=io.BytesIO(content).read, **options
    )


def cut_after(content: bytes):
    """`read` of a connection that breaks after `content`."""
    file = io.BytesIO(content)

    def read(size: int) -> bytes:
        if not (piece := file.read(size)):
            raise Cut
        return piece

    return read


def test_an_upload_under_way_is_a_dataset_with_its_progress(begin, content, people):
    dataset = begin(len(content))
    append(dataset, 0, content[:100])
    dataset.refresh_from_db()
    assert (dataset.status, dataset.source["where"]) == ("UPLOADING", "signs.zip")
    assert dataset.progress == {"phase": "uploading", "done": 100, "total": len(content)}


def test_the_name_of_an_upload_under_way_is_taken(begin):
    dataset = begin(100)
    append(dataset, 0, b"x")
    for size in (100, 101):  # the same size does not make it the same file
        with pytest.raises(ValidationError) as caught:
            begin(size)
        assert list(caught.value.message_dict) == ["name"]


def test_an_upload_that_is_begun_again_because_the_answer_was_lost_is_the_same(begin):
    first = begin(100)
    assert begin(100) == first
    append(first, 0, b"x")
    second = begin(100, name="dated", modified="1700000000000")
    append(second, 0, b"x")
    assert begin(100, name="dated", modified="1700000000000") == second
    assert Dataset.objects.count() == 2


def test_a_kill_between_the_last_byte_and_the_row_loses_nothing(begin, content):
    dataset = begin(len(content))
    upload = Upload(dataset)
    upload.append(0, io.BytesIO(content).read)
    uploads.reconcile()
    uploads.reconcile()
    dataset.refresh_from_db()
    assert dataset.status == "VALIDATING"
    assert [event.to_status for event in dataset.events()] == ["VALIDATING", "UPLOADING"]
    assert dataset.upload_path.read_bytes() == content


def test_a_kill_between_the_rename_and_the_row_loses_nothing(begin, content):
    dataset = begin(len(content))
    upload = Upload(dataset)
    upload.append(0, io.BytesIO(content).read)
    upload.part.rename(dataset.upload_path)
    assert Upload(dataset).offset() == len(content)
    uploads.reconcile()
    ingest.run(dataset.pk)
    dataset.refresh_from_db()
    assert (dataset.status, dataset.zip_sha256) == ("READY", hashlib.sha256(content).hexdigest())


def test_of_a_cut_piece_everything_is_kept_unless_it_has_a_checksum(begin, content):
    dataset = begin(len(content))
    upload = Upload(dataset)
    with pytest.raises(Cut):
        upload.append(0, cut_after(content[:100]))
    assert upload.offset() == 100
    with pytest.raises(Cut):
        upload.append(100, cut_after(content[100:200]), Checksum("sha1 AAAA"))
    assert upload.offset() == 100


def test_a_piece_whose_checksum_nobody_came_to_check_is_thrown_away(begin, content):
    """As a SIGKILL in the middle of the piece leaves it."""
    dataset = begin(len(content))
    upload = Upload(dataset)
    append(dataset, 0, content[:100])
    upload.unverified.write_text("100")
    with upload.part.open("ab") as file:
        file.write(b"x" * 50)
    assert Upload(dataset).offset() == 100
    assert not upload.unverified.exists()


def test_a_zip_of_another_checksum_than_announced_is_invalid(begin, content):
    dataset = begin(len(content), sha256="0" * 64)
    append(dataset, 0, content)
    ingest.run(dataset.pk)
    dataset.refresh_from_db()
    assert dataset.status == "INVALID"
    assert [problem["code"] for problem in dataset.report] == ["wrong_checksum"]
    assert hashlib.sha256(content).hexdigest() in dataset.report[0]["message"]
    assert not dataset.upload_path.exists()


def test_a_deleted_upload_ends_the_writer(begin, monkeypatch, people):
    monkeypatch.setattr(dataset_work, "SECONDS", 0)
    dataset = begin(100)

    def read(size: int) -> bytes:
        if Dataset.objects.get().status == "UPLOADING":
            services.dataset_delete(dataset=Dataset.objects.get(), user=people.editor)
        return b"x"

    with pytest.raises(Abandoned):
        services.dataset_upload_append(dataset=dataset, user=people.editor, start=0, read=read)
    dataset_files.remove(dataset.pk)
    assert not dataset.folder.exists()


def test_two_writers_are_never_at_one_upload(begin):
    dataset = begin(100)
    with uploads.writing(dataset), pytest.raises(uploads.Busy):
        append(dataset, 0, b"x")


@pytest.mark.django_db(transaction=True)
def test_what_nobody_goes_on_with_is_given_up_with_what_it_held(begin, settings):
    dataset, active = begin(100), begin(100, name="active")
    append(dataset, 0, b"x" * 10)
    ago = timezone.now() - timedelta(days=settings.UPLOAD_EXPIRY_DAYS, seconds=1)
    Dataset.objects.filter(pk=dataset.pk).update(updated_at=ago)
    uploads.reconcile()
    dataset.refresh_from_db()
    assert dataset.status == "DELETE_IN_PROGRESS"
    assert dataset.status_reason["params"] == {"days": 7}
    assert [task.func() for task in OrmQ.objects.all()] == ["training.tasks.dataset_remove"]
    dataset_files.remove(dataset.pk)
    assert not dataset.folder.exists()
    active.refresh_from_db()
    assert active.status == "UPLOADING"
