import io
import zipfile
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.utils.module_loading import import_string

from training import ingest
from training.models import Dataset, Training

URL = "/api/v1/datasets/"


@pytest.fixture
def editor(api, people, project, home):
    return api(people.editor)


def zipped(content: bytes = b"x") -> SimpleUploadedFile:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("train/a/1.png", content)
    return SimpleUploadedFile("signs.zip", out.getvalue(), "application/zip")


def body(**changes):
    return {"name": "signs", "algorithm": "image_classification", "file": zipped(), **changes}


def test_an_upload_that_was_answered_is_on_the_disk(editor):
    sent = zipped()
    answer = editor.post(URL, body(file=sent), format="multipart")
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert made["status"] == "VALIDATING"
    assert made["zip_bytes"] == sent.size
    dataset = Dataset.objects.get(pk=made["id"])
    sent.seek(0)
    assert dataset.upload_path.read_bytes() == sent.read()


def test_an_upload_never_is_in_memory_as_a_whole(editor, settings):
    """Any size is received in the folder that is on the same file system as the datasets."""
    (handler,) = settings.FILE_UPLOAD_HANDLERS
    assert issubclass(import_string(handler), TemporaryFileUploadHandler)
    upload = TemporaryUploadedFile("x.zip", "application/zip", 1, None)
    assert Path(upload.temporary_file_path()).parent == settings.FILE_UPLOAD_TEMP_DIR
    upload.close()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": ""}, {"name"}),
        ({"name": "x" * 51}, {"name"}),
        ({"algorithm": "guessing"}, {"algorithm"}),
        ({"file": "not a file"}, {"file"}),
        ({"description": "x" * 256}, {"description"}),
    ],
)
def test_wrong_fields_are_named_and_leave_nothing_behind(editor, home, changes, named):
    answer = editor.post(URL, body(**changes), format="multipart")
    assert answer.status_code == 400
    assert set(answer.json()["error"]["fields"]) == named
    assert not Dataset.objects.exists()
    assert list((home / "incoming").iterdir()) == []


def test_every_missing_field_is_named(editor):
    answer = editor.post(URL, {}, format="multipart")
    assert set(answer.json()["error"]["fields"]) == {"name", "algorithm", "file"}


def test_the_detail_has_report_and_counts(api, people, dataset):
    seen = api(people.viewer).get(f"{URL}{dataset.pk}/").json()
    assert seen["counts"] == {"train": {"stop": 3, "yield": 2}}
    assert seen["images"] == {"train": 5}
    problem = {"code": "corrupt_image", "level": "warning", "file": "train/stop/1.png"}
    assert seen["report"] == [{**problem, "message": "1.png cannot be read.", "files": [], "mend": ""}]


def test_a_dataset_with_a_running_training_is_not_deleted(editor, dataset, training):
    Training.objects.update(status="RUNNING")
    answer = editor.delete(f"{URL}{dataset.pk}/")
    assert answer.status_code == 409
    assert answer.json()["error"]["fields"] == {"training": [f"first run ({training.pk})"]}
    Training.objects.update(status="COMPLETE")
    assert editor.delete(f"{URL}{dataset.pk}/").status_code == 204
    dataset.refresh_from_db()
    assert dataset.status == "DELETE_IN_PROGRESS"


@pytest.fixture
def unchecked(people, project, home) -> Dataset:
    """INVALID by the console's own fault; its zip is there."""
    made = Dataset.objects.create(project=project, name="unchecked", algorithm="image_classification", status="INVALID")
    made.folder.mkdir(parents=True)
    made.upload_path.write_bytes(zipped().read())
    return made


def test_what_the_console_failed_at_is_checked_again(api, people, editor, unchecked):
    url = f"{URL}{unchecked.pk}/"
    assert editor.get(url).json()["can_check"]
    assert api(people.viewer).post(f"{url}check/").status_code == 403
    assert api(people.outsider).post(f"{url}check/").status_code == 404
    answer = editor.post(f"{url}check/")
    assert (answer.status_code, answer.json()["status"], answer.json()["can_check"]) == (200, "VALIDATING", False)
    ingest.run(unchecked.pk)
    seen = editor.get(url).json()
    assert (seen["status"], bool(seen["report"]), seen["can_check"]) == ("INVALID", True, False)  # now it is the zip


def test_what_is_ready_or_whose_zip_failed_is_a_conflict(editor, dataset, unchecked):
    errors = [{"code": "split_missing", "level": "error", "file": "", "message": "No.", "text": "No.", "params": {}}]
    Dataset.objects.filter(pk=unchecked.pk).update(report=errors)
    for one in (dataset, unchecked):
        assert not editor.get(f"{URL}{one.pk}/").json()["can_check"]
        answer = editor.post(f"{URL}{one.pk}/check/")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
