"""The recent requests on the page of a stage, and their images where it keeps them."""

import io

from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from endpoints import statistics
from endpoints.models import RequestRecord, Stage
from tests.console import served
from tests.console.test_pages_stages import of_stage


def test_recent_requests_are_filtered_by_class_of_status(viewer, endpoint):
    stage, now = endpoint.default_stage, timezone.now()
    for status, error in ((200, ""), (404, "no such path"), (503, "engine is away")):
        statistics.write([statistics.Call(stage.pk, now, "/inference", status, 5, error=error)])
    for wanted, seen, unseen in (("4xx", "no such path", "engine is away"), ("5xx", "engine is away", "no such path")):
        text = viewer.get(of_stage("stage", stage), {"status": wanted}).content.decode()
        assert seen in text
        assert unseen not in text
        assert f"&amp;status={wanted}" in text  # what is polled keeps to it
    assert "no such path" in viewer.get(of_stage("stage", stage), {"status": "9xx"}).content.decode()


def sent(stage: Stage) -> RequestRecord:
    """A request with an image, recorded."""
    out = io.BytesIO()
    Image.new("RGB", (32, 16), (200, 30, 30)).save(out, "PNG")
    call = statistics.Call(
        stage.pk, timezone.now(), "/inference", 200, 5, body=out.getvalue(), content_type="image/png"
    )
    statistics.write([call])
    return stage.requests.first()


def image_url(record: RequestRecord) -> str:
    stage = record.stage
    return reverse("stage_request_image", args=[stage.project_id, stage.endpoint_id, stage.pk, record.pk])


def test_an_editor_has_images_kept_and_members_see_them(editor, viewer, outsider, endpoint):
    stage = endpoint.default_stage
    assert sent(stage).image == ""
    page = editor.post(of_stage("stage_keep_images", stage), {"keep": "1"}, follow=True).content.decode()
    assert "Every member of the project can see them." in page
    url = image_url(sent(stage))
    assert url in viewer.get(of_stage("stage", stage)).content.decode()
    answer = viewer.get(url)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(answer.content)).size == (32, 16)
    assert outsider.get(url).status_code == 404


def test_switched_off_the_images_are_gone(editor, endpoint):
    stage = endpoint.default_stage
    editor.post(of_stage("stage_keep_images", stage), {"keep": "1"})
    url = image_url(sent(stage))
    page = editor.post(of_stage("stage_keep_images", stage), {"keep": "0"}, follow=True).content.decode()
    assert url not in page
    assert editor.get(url).status_code == 404


def test_the_image_of_a_trial_is_kept_too(editor, viewer, endpoint, engine):
    stage = endpoint.default_stage
    editor.post(of_stage("stage_keep_images", stage), {"keep": "1"})
    out = io.BytesIO()
    Image.new("RGB", (32, 16)).save(out, "PNG")
    viewer.post(of_stage("stage_try", stage), {"image": SimpleUploadedFile("a.png", out.getvalue(), "image/png")})
    assert viewer.get(image_url(stage.requests.get())).status_code == 200


def test_a_viewer_does_not_switch_the_keeping_of_images(viewer, endpoint):
    assert viewer.post(of_stage("stage_keep_images", endpoint.default_stage), {"keep": "1"}).status_code == 403
    assert not Stage.objects.get(pk=endpoint.default_stage_id).keep_images


def test_the_kept_images_of_one_stage_are_not_those_of_another(editor, endpoint, model):
    stage, other = endpoint.default_stage, served.stage(endpoint, model, "canary")
    editor.post(of_stage("stage_keep_images", stage), {"keep": "1"})
    record = sent(stage)
    url = reverse("stage_request_image", args=[other.project_id, other.endpoint_id, other.pk, record.pk])
    assert editor.get(url).status_code == 404
