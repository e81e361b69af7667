"""The ingest as a whole: from the uploaded zip to READY or INVALID, interrupted, repeated, deleted under way."""

import errno
import json
from pathlib import Path

import pytest

from tests.corpus import ZIPS, Files, classification_files, write_zip
from training import dataset_files, dataset_work, ingest, services
from training.algorithms import PACKAGES
from training.algorithms.base import Message
from training.dataset_work import Progress
from training.models import Dataset

pytestmark = pytest.mark.django_db


@pytest.fixture
def upload(home, project, people, tmp_path_factory):
    """upload(path or files, algorithm) -> a VALIDATING dataset, as after the form was sent."""

    def send(content: Path | Files, algorithm: str = "image_classification") -> Dataset:
        path = content
        if isinstance(content, dict):
            path = write_zip(tmp_path_factory.mktemp("zip") / "a.zip", content)
        with path.open("rb") as file:
            return services.dataset_create(
                project=project, user=people.editor, name="pets", algorithm=algorithm, file=file
            )

    return send


def ingested(dataset: Dataset) -> Dataset:
    ingest.run(dataset.pk)
    dataset.refresh_from_db()
    return dataset


@pytest.mark.parametrize("algorithm", PACKAGES)
def test_a_good_zip_becomes_a_ready_dataset(upload, tmp_path, algorithm):
    path = ZIPS[algorithm](tmp_path / "good.zip", test=1, root="some-folder/")
    dataset = ingested(upload(path, algorithm))
    assert (dataset.status, dataset.status_reason) == ("READY", None)
    assert dataset.images["train"] > 0
    assert dataset.labels == json.loads((dataset.data_folder / "labels.json").read_text())
    assert set(dataset.counts) == {"train", "validation", "test"}
    for split, count in dataset.images.items():
        rows = (dataset.data_folder / "index" / f"{split}.jsonl").read_text().splitlines()
        assert len(rows) == count
        assert all((dataset.data_folder / json.loads(row)["image"]).is_file() for row in rows)
    assert dataset.disk_bytes == sum(p.stat().st_size for p in dataset.data_folder.rglob("*") if p.is_file())
    assert dataset.progress == {}
    assert sorted(p.name for p in dataset.folder.iterdir()) == ["data", "lock"]  # the zip is gone


def test_a_bad_zip_becomes_invalid_with_its_report_and_leaves_nothing(upload):
    dataset = ingested(upload(classification_files() | {"train/cat/text.png": b"text"}))
    assert dataset.status == "INVALID"
    assert dataset.status_reason["params"] == {"file": "train/cat/text.png"}
    errors = [problem for problem in dataset.report if problem["level"] == "error"]
    assert [(p["code"], p["file"]) for p in errors] == [("not_an_image", "train/cat/text.png")]
    assert errors[0]["message"] == "This is not an image. Remove the file or replace it."
    assert [p.name for p in dataset.folder.iterdir()] == ["lock"]


def test_a_hostile_zip_becomes_invalid_and_writes_nothing_outside(upload, home):
    before = {p for p in home.rglob("*") if p.is_file()}
    dataset = ingested(upload(classification_files() | {"../../../evil.png": b"x"}))
    assert dataset.status == "INVALID"
    assert [problem["code"] for problem in dataset.report] == ["path_leaves_folder"]
    assert {p for p in home.rglob("*") if p.is_file()} - before == {dataset.folder / "lock"}


def test_an_ingest_that_was_killed_halfway_is_repeated_from_the_start(upload):
    dataset = upload(classification_files())
    for leftover in ("data.tmp/train/ghost/0.png", "data/train/ghost/0.png"):
        path = dataset.folder / leftover
        path.parent.mkdir(parents=True)
        path.write_bytes(b"half written")
    dataset = ingested(dataset)
    assert dataset.status == "READY"
    assert [label["name"] for label in dataset.labels] == ["cat", "dog"]
    assert not (dataset.data_folder / "train" / "ghost").exists()


def test_a_zip_that_ends_its_worker_each_time_is_given_up(upload):
    dataset = upload(classification_files())
    (dataset.folder / "attempts").write_bytes(b"." * ingest.MAX_ATTEMPTS)  # as those that were killed left it
    dataset = ingested(dataset)
    assert dataset.status == "INVALID"
    assert "5 times" in str(Message.from_json(dataset.status_reason))
    assert {p.name for p in dataset.folder.iterdir()} == {"lock", "upload.zip"}


def test_the_last_attempt_that_a_zip_has_still_counts(upload):
    dataset = upload(classification_files())
    (dataset.folder / "attempts").write_bytes(b"." * (ingest.MAX_ATTEMPTS - 1))
    assert ingested(dataset).status == "READY"


def test_a_second_run_of_a_finished_ingest_changes_nothing(upload):
    dataset = ingested(upload(classification_files()))
    before = (dataset.data_folder / "labels.json").stat().st_mtime_ns
    ingest.run(dataset.pk)
    assert (dataset.data_folder / "labels.json").stat().st_mtime_ns == before
    assert list(dataset.events().values_list("to_status", flat=True)) == ["READY", "VALIDATING"]


def test_two_workers_never_ingest_the_same_dataset(upload):
    dataset = upload(classification_files())
    with dataset_files.locked(dataset.folder, wait=False) as mine:
        assert mine
        assert ingested(dataset).status == "VALIDATING"  # the other worker, who holds the lock, is at it
    assert ingested(dataset).status == "READY"


def test_a_dataset_that_is_deleted_meanwhile_stays_deleted(upload, people, monkeypatch):
    dataset = upload(classification_files())
    monkeypatch.setattr(dataset_work, "SECONDS", 0)
    check = Progress.__call__

    def deleting(progress: Progress, *args: object) -> None:
        Dataset.objects.filter(pk=dataset.pk).update(status="DELETE_IN_PROGRESS")
        check(progress, *args)

    monkeypatch.setattr(Progress, "__call__", deleting)
    assert ingested(dataset).status == "DELETE_IN_PROGRESS"
    dataset_files.remove(dataset.pk)
    assert not dataset.folder.exists()
    assert not Dataset.objects.filter(pk=dataset.pk).exists()


def test_progress_is_written_while_it_goes_on(upload, monkeypatch):
    dataset = upload(classification_files())
    monkeypatch.setattr(dataset_work, "SECONDS", 0)
    seen, write = [], Progress.__call__

    def watching(progress: Progress, *args: object) -> None:
        write(progress, *args)
        seen.append(Dataset.objects.get(pk=dataset.pk).progress)

    monkeypatch.setattr(Progress, "__call__", watching)
    ingested(dataset)
    assert seen[0] == {"phase": "unpacking", "done": 1, "total": 12}
    assert seen[-1] == {"phase": "images", "done": 12, "total": 12}


@pytest.mark.parametrize(
    ("error", "words"),
    [(RuntimeError("bug"), "console failed"), (OSError(errno.ENOSPC, "full"), "disk is full")],
)
def test_a_crash_is_told_apart_from_a_bad_zip(upload, monkeypatch, caplog, error, words):
    dataset = upload(classification_files())

    def broken(*_args: object) -> None:
        raise error

    monkeypatch.setattr(ingest, "_validate", broken)
    dataset = ingested(dataset)
    assert dataset.status == "INVALID"
    assert words in str(Message.from_json(dataset.status_reason))
    assert dataset.report == []
    assert "Traceback" in caplog.text


def test_what_lies_beside_the_layout_is_left_out_even_under_the_names_of_our_own_files(upload):
    beside = {"README.txt": b"hello", "labels.json": b"[]", "index/train.jsonl": b"", "more/a.png": b"x"}
    dataset = ingested(upload(classification_files() | beside))
    assert dataset.status == "READY"
    facts = {problem["file"] for problem in dataset.report if problem["code"] == "left_out"}
    assert facts == {"README.txt", "labels.json", "index", "more"}
    names = {"train", "validation", "index", "labels.json", "dataset.json"}
    assert {path.name for path in dataset.data_folder.iterdir()} == names
    assert json.loads((dataset.data_folder / "labels.json").read_text()) == dataset.labels
