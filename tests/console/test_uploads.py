"""What the ASGI side does with bodies: called as a server calls it."""

import asyncio
import json
from pathlib import Path

import pytest
from django.core.exceptions import RequestAborted

from console.downloads import Download
from console.uploads import UploadHandler


def request(headers: dict[str, str], chunks: list[bytes]) -> tuple[int, dict[str, object], int]:
    """-> (status, JSON body, messages of the body that were asked for)."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/datasets/",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages[-1:] = [{**message, "more_body": False} for message in messages[-1:]]
    sent, asked = [], 0

    async def receive():
        nonlocal asked
        asked += 1
        if messages:
            return messages.pop(0)
        await asyncio.sleep(3600)

    async def send(message):
        sent.append(message)

    asyncio.run(UploadHandler()(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], json.loads(body), asked


MULTIPART = {"content-type": "multipart/form-data; boundary=x"}


def test_an_announced_length_that_is_too_large_is_refused_before_a_byte_is_read(settings):
    settings.UPLOAD_MAX_BYTES = 1000
    status, body, asked = request({**MULTIPART, "content-length": "3000000"}, [b"x"] * 10)
    assert (status, body["error"]["code"], asked) == (413, "too_large", 0)


def test_a_body_without_a_length_is_refused_when_it_has_become_too_large(settings, home):
    settings.UPLOAD_MAX_BYTES = 1000
    status, body, asked = request(MULTIPART, [b"x" * 300_000] * 100)
    assert (status, body["error"]["code"], asked) == (413, "too_large", 4)
    assert list((home / "incoming").iterdir()) == []


def test_a_body_that_is_read_into_memory_has_the_smaller_limit(settings):
    status, body, _asked = request({"content-type": "application/json", "content-length": str(10**9)}, [b"x"])
    assert (status, body["error"]["code"]) == (413, "too_large")


def test_a_body_within_the_limit_reaches_the_view(transactional_db, home):
    status, body, _asked = request(MULTIPART, [b"x" * 1000] * 3)
    assert (status, body["error"]["code"]) == (401, "not_authenticated")


def test_a_large_body_is_on_the_disk_of_the_datasets_and_gone_when_the_sender_is(settings, home):
    """The temporary file has no name, so its device and link count say where it is."""
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 100
    seen = []

    async def receive():
        if not seen:
            seen.append(1)
            return {"type": "http.request", "body": b"x" * 1000, "more_body": False}
        return {"type": "http.disconnect"}

    body = asyncio.run(UploadHandler().read_body(receive))
    opened = Path(f"/proc/self/fd/{body.fileno()}").readlink()
    assert Path(str(opened).removesuffix(" (deleted)")).parent == home / "incoming"
    assert body.read() == b"x" * 1000
    body.close()
    with pytest.raises(RequestAborted):
        asyncio.run(UploadHandler().read_body(receive))
    assert list((home / "incoming").iterdir()) == []


def test_a_download_is_sent_in_pieces(tmp_path, recwarn):
    """Django warns when it has to read a plain iterator as a whole."""
    path = tmp_path / "model.bin"
    path.write_bytes(bytes(range(256)) * 4000)

    async def pieces(answer):
        return [piece async for piece in answer]

    with path.open("rb") as file:
        got = asyncio.run(pieces(Download(file)))
    assert b"".join(got) == path.read_bytes()
    assert max(map(len, got)) <= Download.block_size < path.stat().st_size
    assert not recwarn.list
