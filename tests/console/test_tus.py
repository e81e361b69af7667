"""Resumable uploads as a client meets them: the ASGI application on a port, the stock Python client, raw sockets."""

import base64
import hashlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from knox.models import AuthToken
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

from console import tus_body
from tests.cutting import cutting_proxy
from tests.endpoints.web import serving
from training import ingest, samples
from training.models import Dataset

PATH = "/api/v1/datasets/upload/"
VERSION = {"Tus-Resumable": "1.0.0"}
PIECE = {"Content-Type": "application/offset+octet-stream"}


@pytest.fixture
def web(transactional_db, home) -> Iterator[str]:
    from console.asgi import application

    with serving(application) as url:
        yield url


@pytest.fixture
def client_of(web):
    """client_of(people.editor) is an HTTP client with that person's token and the protocol's version."""

    made = []

    def client(user, **headers) -> httpx.Client:
        token = AuthToken.objects.create(user)[1]
        headers = {"Authorization": f"Bearer {token}", **VERSION, **headers}
        made.append(httpx.Client(base_url=web, headers=headers, timeout=30))
        return made[-1]

    yield client
    for one in made:
        one.close()


def metadata(**told: str) -> dict[str, str]:
    pairs = (f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in told.items())
    return {"Upload-Metadata": ",".join(pairs)}


@pytest.fixture
def begin(project):
    """begin(client, length, **metadata) -> the upload's path."""

    def post(client: httpx.Client, length: int, **told: str) -> str:
        told = {"name": "signs", "algorithm": "image_classification", "project": project.pk, **told}
        answer = client.post(PATH, headers={"Upload-Length": str(length), **metadata(**told)})
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"]

    return post


@pytest.fixture
def zipped(tmp_path: Path) -> Path:
    path = tmp_path / "shapes.zip"
    samples.write("image_classification", path)
    return path


def patch(client: httpx.Client, path: str, offset: int, body: bytes, **headers: str) -> httpx.Response:
    return client.patch(path, content=body, headers={**PIECE, "Upload-Offset": str(offset), **headers})


def offset(client: httpx.Client, path: str) -> int:
    return int(client.head(path).headers["Upload-Offset"])


def test_the_stock_client_cut_twenty_times_arrives_whole(web, client_of, project, people, zipped):
    token = AuthToken.objects.create(people.editor)[1]
    told = {"name": "shapes", "algorithm": "image_classification", "project": project.appkey, "filename": "shapes.zip"}
    told["sha256"] = hashlib.sha256(zipped.read_bytes()).hexdigest()
    with cutting_proxy(web, zipped.stat().st_size, cuts=20) as proxy:
        client = TusClient(proxy.url + PATH, headers={"Authorization": f"Bearer {token}"})
        with zipped.open("rb") as stream:
            client.uploader(file_stream=stream, metadata=told, retries=1000, retry_delay=0).upload()
        assert proxy.cut == 20
    dataset = Dataset.objects.get()
    assert (dataset.status, dataset.zip_bytes) == ("VALIDATING", zipped.stat().st_size)
    assert dataset.upload_path.read_bytes() == zipped.read_bytes()
    ingest.run(dataset.pk)
    dataset.refresh_from_db()
    assert (dataset.status, dataset.zip_sha256) == ("READY", told["sha256"])


def test_options_say_what_the_server_can_do(web):
    answer = httpx.options(web + PATH)
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert set(answer.headers["Tus-Extension"].split(",")) >= {"creation", "checksum", "termination", "expiration"}
    assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256"


def test_from_the_first_byte_to_the_dataset(client_of, begin, people, zipped):
    client, content = client_of(people.editor), zipped.read_bytes()
    path = begin(client, len(content))
    seen = client.get("/api/v1/datasets/").json()["results"]
    assert [row["status"] for row in seen] == ["UPLOADING"]
    half = len(content) // 2
    assert patch(client, path, 0, content[:half]).headers["Upload-Offset"] == str(half)
    head = client.head(path).headers
    assert (head["Upload-Offset"], head["Upload-Length"]) == (str(half), str(len(content)))
    assert head["Upload-Expires"].endswith("GMT")
    last = patch(client, path, half, content[half:])
    assert last.status_code == 204
    made = client.get(f"/api/v1/datasets/{last.headers['Dataset-Id']}/").json()
    assert (made["status"], made["zip_bytes"], made["progress"]) == ("VALIDATING", len(content), {})
    assert offset(client, path) == len(content)
    assert patch(client, path, len(content), b"").status_code == 204  # a client whose last answer was lost
    assert [event.to_status for event in Dataset.objects.get().events()] == ["VALIDATING", "UPLOADING"]


def test_a_first_piece_may_come_with_the_creation(client_of, project, people):
    told = metadata(name="signs", algorithm="image_classification")
    client = client_of(people.editor)
    answer = client.post(PATH, content=b"PK12", headers={"Upload-Length": "10", **PIECE, **told})
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "4")
    assert offset(client, answer.headers["Location"]) == 4


def test_what_came_before_a_cut_is_kept(web, client_of, begin, people):
    client = client_of(people.editor)
    path = begin(client, 1_000_000)
    host, port = web.removeprefix("http://").split(":")
    lines = [f"PATCH {path} HTTP/1.1", f"Host: {host}", f"Authorization: {client.headers['Authorization']}"]
    lines += ["Tus-Resumable: 1.0.0", "Upload-Offset: 0", f"Content-Type: {PIECE['Content-Type']}"]
    lines += ["Content-Length: 1000000", "", ""]
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"x" * 70_001)
        part = Dataset.objects.get().folder / "upload.part"
        wait_until(lambda: part.stat().st_size == 70_001)
        assert offset(client, path) == 70_001  # while the old connection still looks alive
    assert patch(client, path, 70_001, b"y" * 10).headers["Upload-Offset"] == "70011"
    assert part.read_bytes() == b"x" * 70_001 + b"y" * 10


def test_a_wrong_offset_is_a_conflict_and_writes_nothing(client_of, begin, people):
    client = client_of(people.editor)
    path = begin(client, 100)
    patch(client, path, 0, b"x" * 10)
    for wrong in (0, 11, 90, 10**20, int("9" * 4000)):
        answer = patch(client, path, wrong, b"y" * 10)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert offset(client, path) == 10


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_a_piece_with_a_wrong_checksum_is_thrown_away(client_of, begin, people, name):
    client = client_of(people.editor)
    path = begin(client, 100)
    patch(client, path, 0, b"x" * 10)
    wrong = {"Upload-Checksum": f"{name} {base64.b64encode(hashlib.new(name, b'other').digest()).decode()}"}
    right = {"Upload-Checksum": f"{name} {base64.b64encode(hashlib.new(name, b'y' * 10).digest()).decode()}"}
    assert patch(client, path, 10, b"y" * 10, **wrong).status_code == 460
    assert offset(client, path) == 10
    assert patch(client, path, 10, b"y" * 10, **right).headers["Upload-Offset"] == "20"
    assert patch(client, path, 20, b"y", **{"Upload-Checksum": "md5 AAAA"}).status_code == 400


def test_more_than_was_announced_or_may_be_is_refused(client_of, begin, people, settings):
    client = client_of(people.editor)
    path = begin(client, 10)
    assert patch(client, path, 0, b"x" * 11).status_code == 413
    assert offset(client, path) == 0
    settings.UPLOAD_MAX_BYTES = 1000
    told = metadata(name="more", algorithm="image_classification")
    for length in ("1001", str(10**20), "9" * 5000):
        answer = client.post(PATH, headers={"Upload-Length": length, **told})
        assert answer.status_code == 413
        assert "1000 bytes" in answer.json()["error"]["message"]


def test_only_who_began_it_may_go_on(client_of, begin, people):
    path = begin(client_of(people.editor), 100)
    for user in (people.owner, people.viewer, people.outsider):
        other = client_of(user)
        assert other.head(path).status_code == 404
        assert patch(other, path, 0, b"x").status_code == 404
        assert other.delete(path).status_code == 404
    told = metadata(name="mine", algorithm="image_classification", project=Dataset.objects.get().project_id)
    length = {"Upload-Length": "5"}
    assert client_of(people.outsider).post(PATH, headers={**length, **told}).status_code == 404
    assert client_of(people.viewer).post(PATH, headers={**length, **told}).status_code == 403
    assert client_of(people.editor, Authorization="Bearer no").post(PATH, headers={**length, **told}).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Tus-Resumable": "0.2.2", "Upload-Length": "5"}, 412),
        ({}, 400),
        ({"Upload-Length": "many"}, 400),
        ({"Upload-Length": "0"}, 400),
        ({"Upload-Length": "5", "Upload-Metadata": "name ~~~"}, 400),
        ({"Upload-Length": "5", **metadata(name="x", algorithm="guessing")}, 400),
        ({"Upload-Length": "5", **metadata(name="x", algorithm="image_classification", sha256="12")}, 400),
    ],
)
def test_a_creation_that_makes_no_sense_leaves_nothing(client_of, project, people, home, headers, status):
    assert client_of(people.editor).post(PATH, headers=headers).status_code == status
    assert not Dataset.objects.exists()
    assert not list(home.glob("datasets/*"))


def test_a_page_sends_its_session_and_its_csrf_token(web, browser_of, people, project):
    """Also with a piece in the body of a POST, where Django would look for the token of a form."""
    browser = browser_of(people.editor)
    cookies = {"sessionid": browser.cookies["sessionid"].value, "csrftoken": "a" * 32}
    told = metadata(name="signs", algorithm="image_classification")
    headers = {**VERSION, **PIECE, **told, "Upload-Length": "10"}
    with httpx.Client(base_url=web, cookies=cookies, headers=headers) as page:
        assert page.post(PATH, content=b"PK").status_code == 403
        page.headers["X-CSRFToken"] = "a" * 32
        begun = page.post(PATH, content=b"PK")
        assert (begun.status_code, begun.headers["Upload-Offset"]) == (201, "2")
        assert patch(page, begun.headers["Location"], 2, b"12").headers["Upload-Offset"] == "4"
        del page.headers["X-CSRFToken"]
        assert patch(page, begun.headers["Location"], 4, b"12").status_code == 403


def test_a_sender_that_says_nothing_is_given_up(web, client_of, begin, people, monkeypatch):
    monkeypatch.setattr(tus_body, "IDLE_SECONDS", 0.2)
    client = client_of(people.editor)
    path = begin(client, 100)

    def slow() -> Iterator[bytes]:
        yield b"x" * 10
        time.sleep(2)
        yield b"y"

    answer = client.patch(path, content=slow(), headers={**PIECE, "Upload-Offset": "0"})
    assert answer.status_code == 408
    assert offset(client, path) == 10


def test_deleting_ends_the_upload(client_of, begin, people):
    client = client_of(people.editor)
    path = begin(client, 100)
    assert client.delete(path).status_code == 204
    assert patch(client, path, 0, b"x").status_code == 404
    assert client.head(path).status_code == 404


def test_the_stock_client_hears_of_it_when_the_dataset_is_deleted_meanwhile(web, client_of, begin, people, zipped):
    client = client_of(people.editor)
    path = begin(client, zipped.stat().st_size)
    patch(client, path, 0, zipped.read_bytes()[:1000])
    (row,) = client.get("/api/v1/datasets/").json()["results"]
    assert client.delete(f"/api/v1/datasets/{row['id']}/").status_code == 204
    stock = TusClient(web + PATH, headers={"Authorization": client.headers["Authorization"]})
    with zipped.open("rb") as stream, pytest.raises(TusCommunicationError, match="404"):
        stock.uploader(file_stream=stream, url=web + path)


def wait_until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
