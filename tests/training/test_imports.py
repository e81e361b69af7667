"""Imports from folders of this server and from S3-compatible storage (moto, as a real HTTP server)."""

import io
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from django.core.exceptions import ValidationError
from moto.server import ThreadedMotoServer

from tests import corpus
from training import dataset_files, dataset_work, imports, ingest, services, sources
from training.models import Dataset
from training.sources import SourceError

KEYS = {"aws_access_key_id": "AKTEST", "aws_secret_access_key": "do-not-tell"}


@pytest.fixture
def root(home, settings, tmp_path_factory) -> Path:
    """A folder that imports may come from, with a dataset in it and one outside it."""
    outside = tmp_path_factory.mktemp("server")
    root = outside / "shared"
    settings.IMPORT_ROOTS = [str(root)]
    for name, content in corpus.classification_files().items():
        for folder in (root / "pets", outside / "secret"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    corpus.classification_zip(root / "pets.zip")
    return root


@pytest.fixture
def bucket(home, settings, tmp_path) -> Iterator:
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    settings.IMPORT_S3_ENDPOINT = f"http://{host}:{port}"
    settings.IMPORT_S3_BUCKET = "data"
    settings.IMPORT_S3_ACCESS_KEY, settings.IMPORT_S3_SECRET_KEY = KEYS.values()
    client = boto3.client("s3", endpoint_url=settings.IMPORT_S3_ENDPOINT, region_name="us-east-1", **KEYS)
    client.create_bucket(Bucket="data")
    for name, content in corpus.classification_files().items():
        client.put_object(Bucket="data", Key=f"animals/pets/{name}", Body=content)
    client.put_object(Bucket="data", Key="pets.zip", Body=corpus.classification_zip(tmp_path / "a.zip").read_bytes())
    yield client
    server.stop()


@pytest.fixture
def create(project, people):
    def make(kind: str, where: str, **fields) -> Dataset:
        values = {"name": "pets", "algorithm": "image_classification"} | fields
        source = {"kind": kind, "where": str(where)}
        return services.dataset_import(project=project, user=people.editor, source=source, **values)

    return make


def finished(dataset: Dataset) -> Dataset:
    imports.run(dataset.pk)
    ingest.run(dataset.pk)
    dataset.refresh_from_db()
    return dataset


@pytest.mark.parametrize("where", ["pets", "pets.zip", ""])
def test_a_folder_and_a_zip_of_the_server_become_datasets(root, create, where):
    """The root itself holds the folder and the zip beside it, which is left out."""
    dataset = finished(create("folder", root / where))
    assert (dataset.status, dataset.status_reason) == ("READY", None)
    assert dataset.images == {"train": 8, "validation": 4}
    assert dataset.source == {"kind": "folder", "where": str(root / where)}
    same = root / "pets" / "train/cat/0.png"
    assert (dataset.data_folder / "train/cat/0.png").read_bytes() == same.read_bytes()


def test_a_prefix_and_a_zip_of_the_storage_become_datasets(bucket, create):
    for where, name in (("animals/pets/", "prefix"), ("animals", "around"), ("pets.zip", "zip")):
        dataset = finished(create("s3", where, name=name))
        assert (dataset.status, dataset.status_reason) == ("READY", None), where
        assert dataset.images == {"train": 8, "validation": 4}


def test_what_is_wrong_with_the_files_is_in_the_report(root, create):
    (root / "pets/train/cat/bad.png").write_bytes(b"no image")
    dataset = finished(create("folder", root / "pets"))
    assert dataset.status == "INVALID"
    assert ("not_an_image", "train/cat/bad.png") in [(row["code"], row["file"]) for row in dataset.report]


@pytest.mark.parametrize("where", ["../secret", "pets/../../secret", "link", "pets/out/deeper", "nothing", "/", "/etc"])
def test_no_path_leaves_its_root(root, create, where):
    (root / "link").symlink_to(root.parent / "secret")
    (root / "pets/out").symlink_to(root.parent)
    (root.parent / "deeper").mkdir()
    with pytest.raises(ValidationError) as caught:
        create("folder", where if where.startswith("/") else f"{root}/{where}")
    assert list(caught.value.message_dict) == ["source"]
    assert not Dataset.objects.exists()


def test_links_inside_are_named_and_not_followed(root, create):
    (root / "pets/train/cat/alias.png").symlink_to(root.parent / "secret/train/cat/0.png")
    (root / "pets/train/fox").symlink_to(root.parent / "secret/train/cat")
    dataset = finished(create("folder", root / "pets"))
    found = {(row["code"], row["file"]) for row in dataset.report}
    assert {("not_a_file", "train/cat/alias.png"), ("not_a_file", "train/fox")} <= found


def test_a_pipe_does_not_make_the_worker_wait(root, create):
    os.mkfifo(root / "pets/train/cat/pipe.png")
    assert finished(create("folder", root / "pets")).status == "INVALID"


def test_keys_of_the_storage_are_as_hostile_as_names_in_a_zip(bucket, create, home):
    bucket.put_object(Bucket="data", Key="animals/pets/../../../evil.png", Body=b"x")
    dataset = finished(create("s3", "animals/pets/"))
    assert [row["code"] for row in dataset.report if row["level"] == "error"] == ["path_leaves_folder"]
    assert not list(home.rglob("evil.png"))


def test_korean_names_of_both_kinds_are_read(root, create):
    folder = root / "pets/train"
    (folder / "cat").rename(folder / "고양이")
    os.rename(
        os.fsencode(root / "pets/validation/cat"), os.fsencode(root / "pets/validation/") + "고양이".encode("cp949")
    )
    dataset = finished(create("folder", root / "pets"))
    assert (dataset.status, [label["name"] for label in dataset.labels]) == ("READY", ["dog", "고양이"])


def test_without_a_setting_nothing_can_be_imported(home, create, settings):
    settings.IMPORT_ROOTS = []
    assert sources.available() == []
    with pytest.raises(ValidationError, match="not set up"):
        create("folder", "/tmp")
    with pytest.raises(ValidationError, match="not set up"):
        create("s3", "x")


def test_a_refused_key_is_said_in_plain_words_and_nothing_tells_the_secret(
    bucket, create, settings, caplog, monkeypatch
):
    monkeypatch.setattr(imports, "WAIT_SECONDS", 0.01)
    with pytest.raises(ValidationError, match="There is no"):
        create("s3", "nowhere/")
    dataset = create("s3", "animals/")
    bucket.delete_bucket_policy(Bucket="data")
    settings.IMPORT_S3_ENDPOINT = "http://127.0.0.1:9"  # nobody listens
    imports.run(dataset.pk)
    dataset.refresh_from_db()
    assert dataset.status == "INVALID"
    assert "do-not-tell" not in caplog.text + str(dataset.status_reason) + str(dataset.source)


def test_a_zip_goes_on_where_a_killed_worker_was(bucket, create, monkeypatch):
    dataset = create("s3", "pets.zip")
    source = sources.open_source("s3", "pets.zip")
    item = source.zip_item()
    with source.read(item) as file:
        dataset.folder.mkdir(parents=True)
        (dataset.folder / "upload.part").write_bytes(file.read(1000))
    (dataset.folder / "upload.version").write_text(item.version)
    starts = []
    original = sources.s3.Source.read
    monkeypatch.setattr(
        sources.s3.Source, "read", lambda self, i, start=0: starts.append(start) or original(self, i, start)
    )
    assert finished(dataset).status == "READY"
    assert starts == [1000]


def test_a_zip_that_changed_meanwhile_is_copied_anew(root, create):
    dataset = create("folder", root / "pets.zip")
    dataset.folder.mkdir(parents=True)
    (dataset.folder / "upload.part").write_bytes(b"of another version")
    (dataset.folder / "upload.version").write_text("older")
    assert finished(dataset).status == "READY"


def test_a_file_that_changes_while_it_is_copied_is_named(root):
    source = sources.open_source("folder", str(root / "pets"))
    item = next(item for item in source.items() if item.size)
    (root / "pets" / item.key).write_bytes(b"other")
    with pytest.raises(SourceError, match="changed while it was copied"), source.read(item):
        pass


def test_a_killed_import_is_enqueued_again_and_repeated(root, create):
    dataset = create("folder", root / "pets")
    dataset.folder.mkdir(parents=True)
    (dataset.folder / "upload.part").write_bytes(b"PK half a zip")
    imports.reconcile()
    assert finished(dataset).status == "READY"


def test_a_deleted_import_ends(root, create, people, monkeypatch):
    monkeypatch.setattr(dataset_work, "SECONDS", 0)
    dataset = create("folder", root / "pets")
    services.dataset_delete(dataset=dataset, user=people.editor)
    imports.run(dataset.pk)
    dataset_files.remove(dataset.pk)
    assert not dataset.folder.exists()


def test_too_many_files_and_too_many_bytes_are_refused_before_the_copy(root, create, settings):
    settings.ZIP_MAX_ENTRIES = 3
    first = finished(create("folder", root / "pets", name="a"))
    settings.ZIP_MAX_ENTRIES, settings.ZIP_MAX_BYTES = 1000, 10
    second = finished(create("folder", root / "pets", name="b"))
    assert [first.status, second.status] == ["INVALID", "INVALID"]
    assert first.status_reason["params"] == {"limit": 3}
    assert second.status_reason["params"]["limit"] == "10 B"
    assert not list(first.folder.glob("upload*"))


def test_small_files_are_fetched_in_parallel_and_arrive_in_order(bucket, create, monkeypatch):
    seen = set()
    original = sources.s3.Source.read

    def read(self, item, start=0):
        seen.add(threading.current_thread().name)
        return original(self, item, start)

    monkeypatch.setattr(sources.s3.Source, "read", read)
    dataset = create("s3", "animals/")
    imports.run(dataset.pk)
    assert len(seen) > 1
    with zipfile.ZipFile(io.BytesIO(dataset.upload_path.read_bytes())) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted(archive.namelist())


def test_the_storage_is_listed_a_folder_at_a_time(bucket):
    top = sources.open_source("s3", "").listing()
    assert [(entry.name, entry.where, entry.folder) for entry in top] == [
        ("animals", "animals/", True),
        ("pets.zip", "pets.zip", False),
    ]
    assert [entry.where for entry in sources.open_source("s3", "animals/").listing()] == ["animals/pets/"]


def test_what_the_page_cannot_show_is_not_listed(root):
    (root / ".hidden").mkdir()
    (root / "link").symlink_to(root.parent)
    (root / "notes.txt").write_text("x")
    assert [entry.name for entry in sources.open_source("folder", str(root)).listing()] == ["pets", "pets.zip"]
