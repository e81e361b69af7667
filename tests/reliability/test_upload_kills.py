"""An upload goes on where it was after the web process was killed in the middle of it."""

import hashlib
import time

import httpx
from tusclient.client import TusClient
from tusclient.uploader import Uploader

from tests import corpus
from tests.cutting import cutting_proxy
from tests.running import RunningConsole, running_console


class Watched(Uploader):
    """The stock client, which notes what the server says of where to go on."""

    def __init__(self, *arguments, **options) -> None:
        self.offsets: list[int] = []
        super().__init__(*arguments, **options)

    def get_offset(self) -> int:
        self.offsets.append(super().get_offset())
        return self.offsets[-1]


def kill_web(console: RunningConsole) -> int:
    """SIGKILL the web process once it has something of the upload. -> the bytes of it that are on the disk."""
    (part,) = console.home.glob("datasets/*/upload.part")
    while not part.stat().st_size:
        time.sleep(0.01)
    for process in console.processes():
        if "console.web" in process.cmdline():
            process.kill()
            process.wait(10)
    return part.stat().st_size


def test_the_server_is_killed_in_the_middle_of_an_upload(tmp_path):
    zipped = corpus.classification_zip(tmp_path / "large.zip", train=20, size=160)
    content, held = zipped.read_bytes(), []
    with running_console(tmp_path / "home") as console:
        headers = {"Authorization": f"Bearer {console.token()}"}
        told = {"name": "signs", "algorithm": "image_classification", "filename": "large.zip"}
        killing = cutting_proxy(console.url, len(content), cuts=2, on_cut=lambda: held.append(kill_web(console)))
        with killing as proxy:
            client = TusClient(f"{proxy.url}/api/v1/datasets/upload/", headers=headers)
            with zipped.open("rb") as stream:
                upload = Watched(file_stream=stream, client=client, metadata=told, retries=300, retry_delay=0.2)
                upload.upload()
        assert len(held) == 2
        assert set(held) <= set(upload.offsets)  # it went on exactly where it was
        deadline = time.monotonic() + 60
        while (made := seen(console, headers))["status"] != "READY":
            assert time.monotonic() < deadline, made
            time.sleep(0.2)
    assert made["zip_sha256"] == hashlib.sha256(content).hexdigest()


def seen(console: RunningConsole, headers: dict[str, str]) -> dict:
    with httpx.Client(base_url=f"{console.url}/api/v1/datasets/", headers=headers) as client:
        (row,) = client.get("").json()["results"]
        return client.get(f"{row['id']}/").json()
