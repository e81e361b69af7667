"""Images of recent requests: only where the stage keeps them, small, private, and gone when they should be."""

import base64
import io
import json
import os
import stat
import struct
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from PIL import Image

from endpoints import kept_images, reconcile, records, services, statistics
from endpoints.first_image import first_image
from endpoints.models import RequestRecord, Stage
from endpoints.statistics import Call
from training.errors import Conflict

pytestmark = pytest.mark.django_db(transaction=True)


def png(size: tuple[int, int] = (8, 8), colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def guide(*images: bytes) -> bytes:
    return json.dumps({"instances": [{"data": base64.b64encode(image).decode()} for image in images]}).encode()


@pytest.fixture
def stage(project, people, model) -> Stage:
    """It keeps images."""
    made = services.endpoint_create(project=project, user=people.owner, name="signs", model=model)[0].default_stage
    services.stage_keep_images(stage=made, user=people.owner, keep=True)
    return made


def call(stage: Stage, body: bytes, content_type: str = "application/json", seconds: float = 0, **more) -> Call:
    at = timezone.now() + timedelta(seconds=seconds)
    return Call(stage.pk, at, "/inference", 200, 10, body=body, content_type=content_type, **more)


def files(stage: Stage) -> list[Path]:
    return sorted(kept_images.folder(stage.pk).glob("*"))


def kept(stage: Stage) -> Image.Image:
    """The image of the newest request."""
    path = kept_images.path(records.recent(stage).first())
    assert path
    return Image.open(path)


def test_the_first_image_of_a_call_is_kept_small_and_for_the_consoles_user_only(stage):
    statistics.write([call(stage, guide(png((1280, 320)), png((4, 4))))])
    image = kept(stage)
    assert (image.format, image.size) == ("JPEG", (640, 160))
    assert stat.S_IMODE(files(stage)[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(kept_images.folder(stage.pk).stat().st_mode) == 0o700


def test_where_a_photo_was_taken_is_not_kept(stage):
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x010F] = "the maker of the camera"
    exif[0x0112] = 6  # lies on its side
    Image.new("RGB", (32, 16)).save(out, "JPEG", exif=exif)
    statistics.write([call(stage, out.getvalue(), "image/jpeg")])
    image = kept(stage)
    assert image.size == (16, 32)
    assert not dict(image.getexif())


def test_a_stage_that_does_not_keep_images_has_none(stage, people):
    services.stage_keep_images(stage=stage, user=people.owner, keep=False)
    statistics.write([call(stage, guide(png()))])
    assert records.recent(stage).get().image == ""
    assert files(stage) == []


def binary_v2(image: bytes) -> bytes:
    element = struct.pack("<I", len(image)) + image
    head = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(element)}}
    return json.dumps({"inputs": [head]}).encode() + element


def multipart(image: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="parameters"\r\n\r\n{}\r\n--x\r\n'
    named = b'Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    return head + named + image + b"\r\n--x--\r\n"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (guide(png(), b"another"), "application/json"),
        (guide(png()), ""),
        (json.dumps({"instances": [{"b64": base64.b64encode(png()).decode()}]}).encode(), "application/json"),
        (json.dumps({"instances": [{"data": {"b64": base64.b64encode(png()).decode()}}]}).encode(), "application/json"),
        (
            json.dumps({"inputs": [{"datatype": "BYTES", "data": [base64.b64encode(png()).decode()]}]}).encode(),
            "application/json",
        ),
        (binary_v2(png()), "application/octet-stream"),
        (multipart(png()), "multipart/form-data; boundary=x"),
        (png(), "image/png"),
        (png(), "application/octet-stream"),
    ],
    ids=["guide", "no type", "b64", "v1 b64", "v2 json", "v2 binary", "multipart", "raw", "octets"],
)
def test_the_image_is_found_in_the_body_of_every_protocol(body, content_type):
    assert first_image(body, content_type) == png()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 5000,
        b"null",
        b'{"instances": 7}',
        b'{"instances": [[1, 2]]}',
        guide(b"no image"),
        b"\xff\xd8\xff",
    ],
)
def test_a_body_without_an_image_is_counted_all_the_same(stage, body):
    statistics.write([call(stage, body)])
    assert records.recent(stage).get().image == ""
    assert files(stage) == []


def test_an_image_of_too_many_pixels_is_not_kept(stage):
    statistics.write([call(stage, png((5000, 5000)), "image/png")])
    assert records.recent(stage).get().image == ""


def test_no_more_images_are_kept_than_are_promised(stage, people):
    for name in range(kept_images.AT_ONCE * 3):
        statistics.write([call(stage, png(), "image/png", seconds=name)])
    statistics.write([call(stage, png(), "image/png", seconds=100)] * 2 * kept_images.AT_ONCE)
    assert len(files(stage)) == 4 * kept_images.AT_ONCE  # of one write, its newest
    rows = RequestRecord.objects.filter(stage=stage)
    for _ in range(records.IMAGES // kept_images.AT_ONCE):
        statistics.write([call(stage, png(), "image/png", seconds=200)] * kept_images.AT_ONCE)
    assert len(files(stage)) == records.IMAGES
    assert set(rows.exclude(image="").values_list("image", flat=True)) == {file.name for file in files(stage)}


def test_an_image_goes_with_its_record(stage):
    statistics.write([call(stage, png(), "image/png")])
    statistics.write([call(stage, b"", seconds=1)] * records.RECENT)
    assert files(stage) == []


def test_switching_it_off_removes_them(stage, people):
    statistics.write([call(stage, png(), "image/png")])
    services.stage_keep_images(stage=stage, user=people.owner, keep=False)
    assert not kept_images.folder(stage.pk).exists()
    assert records.recent(stage).get().image == ""


def test_they_go_with_the_stage(stage, people):
    statistics.write([call(stage, png(), "image/png")])
    folder = kept_images.folder(stage.pk)
    services.endpoint_delete(endpoint=stage.endpoint, user=people.owner)
    with pytest.raises(Conflict):
        services.stage_keep_images(stage=stage, user=people.owner, keep=True)
    stage.refresh_from_db()
    services.stage_remove(stage=stage)
    assert not folder.parent.exists()


def test_what_a_killed_process_left_behind_is_swept_away(stage):
    statistics.write([call(stage, png(), "image/png")])
    [mine] = files(stage)
    orphan, young = (mine.with_name(name) for name in ("orphan.jpg", "young.jpg"))
    gone = kept_images.folder("gone") / "a.jpg"
    gone.parent.mkdir(parents=True)
    long_ago = time.time() - 2 * kept_images.YOUNG_SECONDS
    for file in (orphan, young, gone):
        file.write_bytes(png())
    for file in (mine, orphan):
        os.utime(file, (long_ago, long_ago))
    reconcile.run()
    assert files(stage) == sorted([mine, young])
    assert not gone.exists()


def test_a_disk_that_takes_no_image_costs_no_statistics(stage, home):
    (home / "stages").write_text("in the way")
    statistics.write([call(stage, png(), "image/png")])
    assert records.recent(stage).get().image == ""


def test_bodies_that_wait_to_be_written_are_bounded(stage):
    taken: list[Call] = []
    recorder = statistics.Recorder(taken.extend)
    body = b"x" * (statistics.HELD_BYTES // 4)
    for _ in range(6):
        recorder.add(call(stage, body))
    recorder.flush()
    assert [bool(one.body) for one in taken] == [True] * 4 + [False] * 2
    recorder.add(call(stage, body))
    recorder.flush()
    assert taken[-1].body
