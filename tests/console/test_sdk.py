"""The client against a real server."""

import socket
import threading
import zipfile

import pytest
from knox.models import AuthToken

from console.sdk import ApiError, Client
from training.models import Dataset, Training


@pytest.fixture
def client(transactional_db, people, project, home, live_server):
    _, token = AuthToken.objects.create(people.editor)
    return Client(live_server.url, token)


def test_get_with_parameters_post_and_delete(client):
    made = client.post("experiments/", {"name": "größe"})
    assert client.get("experiments/", search="größe", page_size=1)["results"] == [made]
    client.delete(f"experiments/{made['id']}/")
    assert client.get("experiments/")["count"] == 0


def test_upload_sends_the_file_as_it_is(client, tmp_path):
    zip_file = tmp_path / 'odd "name".zip'
    with zipfile.ZipFile(zip_file, "w") as archive:
        archive.writestr("a.png", bytes(range(256)) * 2000)
    made = client.upload("datasets/", {"name": "größe", "algorithm": "object_detection"}, zip_file)
    dataset = Dataset.objects.get(pk=made["id"])
    assert dataset.name == "größe"
    assert dataset.upload_path.read_bytes() == zip_file.read_bytes()


def test_a_refusal_has_status_code_and_fields(client):
    with pytest.raises(ApiError) as refused:
        client.post("trainings/", {"name": "x", "dataset": "nothing"})
    assert (refused.value.status, refused.value.code, list(refused.value.fields)) == (400, "invalid", ["dataset"])
    assert "dataset: " in str(refused.value)


def test_a_server_that_is_not_there(client):
    with pytest.raises(ApiError, match="cannot be reached") as refused:
        Client("http://127.0.0.1:9", "token").get("projects/")
    assert refused.value.status == 0


def test_a_server_that_is_killed_while_it_answers():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_half() -> None:
            connection, _address = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

        thread = threading.Thread(target=answer_half)
        thread.start()
        with pytest.raises(ApiError) as refused:
            Client(f"http://127.0.0.1:{server.getsockname()[1]}", "token").get("projects/")
        thread.join()
    assert (refused.value.status, refused.value.code) == (0, "unreachable")


def test_wait_ends_with_the_status_with_the_reason_of_a_failure_or_with_the_time(client, project):
    training = Training.objects.create(
        project=project, name="run", dataset_name="", algorithm="image_classification", status="COMPLETE"
    )
    address, seen = f"trainings/{training.pk}/", []
    assert client.wait(address, "COMPLETE", timeout=5, seen=seen.append)["name"] == "run"
    assert len(seen) == 1
    Training.objects.update(status="FAIL_TRAIN", status_reason={"text": "Out of memory.", "params": {}})
    with pytest.raises(ApiError, match=r"run is FAIL_TRAIN: Out of memory\."):
        client.wait(address, "COMPLETE", timeout=5)
    Training.objects.update(status="RUNNING")
    with pytest.raises(TimeoutError, match="still RUNNING"):
        client.wait(address, "COMPLETE", timeout=0, pause=0)


def test_wait_says_what_is_wrong_with_a_dataset(client, project):
    problem = {"code": "x", "level": "error", "file": "train/a.png", "text": "Is no image.", "params": {}}
    dataset = Dataset.objects.create(
        project=project, name="bad", algorithm="object_detection", status="INVALID", report=[problem]
    )
    with pytest.raises(ApiError, match=r"train/a\.png: Is no image\."):
        client.wait(f"datasets/{dataset.pk}/", "READY", timeout=5)
