"""A full or read-only disk, seen from pages and REST API: the reason, what to free, and nothing half-written."""

import asyncio
import io
from pathlib import Path

import pytest

from console.uploads import UploadHandler
from tests.conftest import use_home
from tests.console.test_uploads import MULTIPART, request
from tests.corpus import classification_zip
from tests.disks import fill, read_only, small_disk
from training.models import Dataset


@pytest.fixture
def small(tmp_path, settings):
    """A CONSOLE_HOME of 4 MB."""
    with small_disk(tmp_path / "small", "4m") as folder:
        yield use_home(settings, folder)


def upload(size: int) -> io.BytesIO:
    file = io.BytesIO(b"x" * size)
    file.name = "pets.zip"
    return file


def values(size: int) -> dict:
    return {"name": "pets", "algorithm": "image_classification", "file": upload(size)}


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and path.name != "ballast"]


def test_an_upload_that_does_not_fit_says_what_to_free_to_a_person(small, editor, project):
    address = f"/projects/{project.pk}/datasets/new/"
    editor.raise_request_exception = False
    answer = editor.post(address, values(5_000_000), headers={"Accept": "text/html", "Accept-Language": "ko"})
    page = answer.content.decode()
    assert answer.status_code == 507
    assert f"/projects/{project.pk}/space/" in page
    assert "디스크" in page
    assert (left_in(small), Dataset.objects.count()) == ([], 0)


def test_an_upload_that_does_not_fit_says_so_to_a_program(small, api, people, project):
    fill(small, leave=500_000)
    answer = api(people.editor).post("/api/v1/datasets/", values(1_000_000), format="multipart")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (507, "insufficient_storage")
    assert "Disk space" in error["message"]
    assert (left_in(small), Dataset.objects.count()) == ([], 0)


def test_a_body_that_does_not_fit_is_refused_before_a_byte_of_it_is_read(small, settings):
    status, body, asked = request({**MULTIPART, "content-length": "9000000"}, [b"x"] * 10)
    assert (status, body["error"]["code"], asked) == (507, "insufficient_storage", 0)
    assert "MiB" in body["error"]["message"]


def test_a_body_of_unknown_length_is_refused_when_the_disk_is_full(small, settings):
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1000
    status, body, asked = request(MULTIPART, [b"x" * 300_000] * 30)
    assert (status, body["error"]["code"]) == (507, "insufficient_storage")
    assert asked < 20
    assert left_in(small) == []


def test_a_browser_whose_body_does_not_fit_gets_a_page(small):
    sent = []

    async def send(message):
        sent.append(message)

    headers = {**MULTIPART, "content-length": "9000000", "accept": "text/html,*/*", "accept-language": "ko"}
    scope = {
        "type": "http", "method": "POST", "path": "/projects/abc/datasets/new/", "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    asyncio.run(UploadHandler()(scope, None, send))
    page = sent[1]["body"].decode()
    assert sent[0]["status"] == 507
    assert "/projects/abc/space/" in page
    assert "디스크" in page


def test_a_folder_that_may_only_be_read_is_named(small, api, people, project):
    read_only(small)
    answer = api(people.editor).post("/api/v1/datasets/", values(1_000), format="multipart")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (507, "insufficient_storage")
    assert "read-only" in error["message"]


def test_a_file_where_the_folder_should_be_is_named(home, api, people, project):
    (home / "datasets").write_text("in the way")
    sample = {"name": "pets", "algorithm": "image_classification"}
    with classification_zip(home / "pets.zip").open("rb") as file:
        answer = api(people.editor).post("/api/v1/datasets/", {**sample, "file": file}, format="multipart")
    error = answer.json()["error"]
    assert answer.status_code == 507
    assert "datasets" in error["message"]
    assert list((home / "incoming").iterdir()) == []
