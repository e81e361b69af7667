"""The page of a stage, as it comes from the server. The engine here is a small HTTP server."""

import base64
import html
import io
import json
import re
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from endpoints import statistics
from endpoints.figures import stage_figures
from endpoints.models import RequestRecord, Stage
from tests.console import served


def of_stage(name: str, stage: Stage) -> str:
    return reverse(name, args=[stage.project_id, stage.endpoint_id, stage.pk])


def image(size: int = 0) -> SimpleUploadedFile:
    return SimpleUploadedFile("cat.png", b"\x89PNG" + b"x" * size, "image/png")


def test_the_stage_page_has_url_and_snippets_with_it(viewer, endpoint):
    stage = endpoint.default_stage
    text = viewer.get(of_stage("stage", stage)).content.decode()
    url = f"http://testserver/stage/{endpoint.pk}/default"
    assert f'<code id="stage-url">{url}</code>' in text
    assert f'curl -X POST "{url}/inference"' in text
    assert f'url = "{url}/inference"' in text
    assert '"image=@image.png"' in text
    assert f'scheme, _, url = "{url}".partition' in text
    assert text.count("YOUR_KEY") == 4


def test_a_site_that_has_a_public_address_shows_that(viewer, endpoint, settings):
    settings.PUBLIC_URL = "https://ai.example.org/"
    text = viewer.get(of_stage("stage", endpoint.default_stage)).content.decode()
    assert f"https://ai.example.org/stage/{endpoint.pk}/default" in text


def test_an_open_endpoint_needs_no_key_in_the_snippets(viewer, model):
    text = viewer.get(of_stage("stage", served.endpoint(model, "open", access="open").default_stage)).content.decode()
    assert "Authorization" not in text


def test_why_a_stage_failed(viewer, endpoint):
    stage = endpoint.default_stage
    reason = {"text": "The engine ended: %(why)s.", "params": {"why": "out of memory"}}
    Stage.objects.filter(pk=stage.pk).update(status="DEPLOY_FAILED", status_reason=reason)
    text = viewer.get(of_stage("stage", stage)).content.decode()
    assert "The engine ended: out of memory." in text


def test_a_deploying_stage_asks_for_itself_and_reloads_when_it_is_ready(viewer, endpoint):
    stage = endpoint.default_stage
    headers = {"HX-Request": "true", "HX-Target": "status"}
    Stage.objects.filter(pk=stage.pk).update(status="DEPLOY_IN_PROGRESS")
    waiting = viewer.get(of_stage("stage", stage), {"seen": "DEPLOY_IN_PROGRESS"}, headers=headers)
    assert 'hx-trigger="every 2s"' in waiting.content.decode()
    assert "HX-Refresh" not in waiting.headers
    Stage.objects.filter(pk=stage.pk).update(status="ACTIVE")
    ready = viewer.get(of_stage("stage", stage), {"seen": "DEPLOY_IN_PROGRESS"}, headers=headers)
    assert ready.headers["HX-Refresh"] == "true"
    assert "hx-trigger" not in ready.content.decode()


def test_the_guides_input_json_for_an_image(viewer, endpoint):
    answer = viewer.post(of_stage("stage_input", endpoint.default_stage), {"image": image(5)})
    assert answer.headers["Content-Disposition"] == 'attachment; filename="input.json"'
    expected = {"instances": [{"data": base64.b64encode(b"\x89PNGxxxxx").decode()}]}
    assert answer.content.decode() == json.dumps(expected, indent=4, sort_keys=True)


def test_input_json_without_an_image_says_so(viewer, endpoint):
    answer = viewer.post(of_stage("stage_input", endpoint.default_stage), follow=True)
    assert "Choose an image." in answer.content.decode()


def test_a_viewer_tries_the_stage_without_a_key(viewer, endpoint, engine):
    answer = viewer.post(of_stage("stage_try", endpoint.default_stage), {"image": image(3)})
    assert (answer.status_code, answer.json()) == (200, [{"score": 1.0, "label": "cat"}])
    assert engine.received == [("/inference", {"instances": [{"data": base64.b64encode(b"\x89PNGxxx").decode()}]})]
    counted = RequestRecord.objects.get()
    assert (counted.status, counted.path, counted.key_prefix) == (200, "/inference", "")


def test_the_engines_refusal_comes_through(viewer, endpoint, engine):
    engine.answer = (400, {"error": {"code": "not_an_image", "message": "instances[0].data is not an image."}})
    answer = viewer.post(of_stage("stage_try", endpoint.default_stage), {"image": image()})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "instances[0].data is not an image."
    assert RequestRecord.objects.get().error == "instances[0].data is not an image."


def test_a_trial_is_counted_like_any_call_with_its_batch(viewer, endpoint, engine):
    viewer.post(of_stage("stage_try", endpoint.default_stage), {"image": image()})
    figures = stage_figures(endpoint.default_stage)
    assert (figures["succeeded"], figures["batch_size"]) == (1, 1)


def test_a_detection_is_tried_with_the_pages_threshold_and_scores(viewer, endpoint, engine):
    endpoint.default_stage.resources.get().model.__class__.objects.update(algorithm="object_detection")
    viewer.post(of_stage("stage_try", endpoint.default_stage), {"image": image(), "threshold": "0.35"})
    assert engine.received[0][1]["parameters"] == {"threshold": 0.35, "scores": True}


def test_a_stage_without_an_engine_answers_503_in_the_usual_form(viewer, endpoint):
    answer = viewer.post(of_stage("stage_try", endpoint.default_stage), {"image": image()})
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "unavailable"


def test_no_image_and_too_large_a_one_are_refused(viewer, endpoint, settings):
    url = of_stage("stage_try", endpoint.default_stage)
    assert viewer.post(url).json()["error"]["message"] == "Choose an image."
    answer = viewer.post(url, {"image": image(settings.STAGE_MAX_BODY)})
    assert answer.status_code == 400
    assert "too large" in answer.json()["error"]["message"]


def test_images_that_the_model_was_not_trained_on_are_offered_as_they_are(viewer, endpoint, model):
    stage = endpoint.default_stage
    served.with_images(model.training.dataset, "train")
    text = viewer.get(of_stage("stage", stage)).content.decode()
    offered = re.findall(r'data-tryit-sample="([^"]+)"', text)
    assert len(offered) == 3
    assert all("path=test/" in url for url in offered)
    answer = viewer.get(offered[0].replace("&amp;", "&"))
    assert b"".join(answer.streaming_content) == (model.training.dataset.data_folder / "test/0.png").read_bytes()


def test_the_buttons_of_those_images_load_small_ones(viewer, endpoint, model):
    folder = model.training.dataset.data_folder
    Image.new("RGB", (1600, 800)).save(folder / "test/0.png")
    text = viewer.get(of_stage("stage", endpoint.default_stage)).content.decode()
    shown = re.findall(r'<img src="([^"]+/sample/[^"]+)"', text)
    assert len(shown) == 3
    small = Image.open(io.BytesIO(viewer.get(shown[0].replace("&amp;", "&")).content))
    assert (small.format, small.size) == ("JPEG", (160, 80))


def test_a_class_has_the_colour_that_it_has_in_the_previews_of_its_dataset(viewer, endpoint, model):
    dataset = served.with_images(model.training.dataset, "train")
    type(dataset).objects.update(algorithm="object_detection")
    text = viewer.get(of_stage("stage", endpoint.default_stage)).content.decode()
    labels = json.loads(html.unescape(re.search(r'data-labels="([^"]+)"', text)[1]))
    tab = reverse("dataset", args=[dataset.project_id, dataset.pk])
    preview = viewer.get(tab, {"tab": "preview"}).content.decode()
    assert [label["name"] for label in labels] == ["cat", "dog"]
    legend = re.findall(r"background: rgb\((\d+), (\d+), (\d+)\)", preview)
    assert [label["colour"] for label in labels] == ["#{:02x}{:02x}{:02x}".format(*map(int, rgb)) for rgb in legend]


def test_a_stage_without_a_model_says_so(viewer, endpoint):
    endpoint.default_stage.resources.all().delete()
    text = viewer.get(of_stage("stage", endpoint.default_stage)).content.decode()
    assert text.count("The stage serves no model.") == 3
    assert "data-tryit" not in text


@pytest.mark.parametrize("path", ["train/0.png", "../upload.zip", "index/test.jsonl", "/etc/passwd", ""])
def test_nothing_else_of_the_dataset_can_be_fetched_there(viewer, endpoint, model, path):
    served.with_images(model.training.dataset, "train")
    assert viewer.get(of_stage("stage_sample", endpoint.default_stage), {"path": path}).status_code == 404


@pytest.mark.parametrize("name", ["trap.html", "trap.js", "trap.svg"])
def test_an_image_whose_name_is_that_of_a_page_or_a_script_is_never_one_here(viewer, endpoint, model, name):
    """A file can be an image and a script at once; from our own address the browser would run it."""
    data = model.training.dataset.data_folder
    (data / "test" / name).write_bytes((data / "test/0.png").read_bytes())
    with (data / "index/test.jsonl").open("a") as index:
        index.write(json.dumps({"image": f"test/{name}", "label": 0}) + "\n")
    answer = viewer.get(of_stage("stage_sample", endpoint.default_stage), {"path": f"test/{name}"})
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    answer = viewer.get(of_stage("stage_sample", endpoint.default_stage), {"path": "test/0.png"})
    assert answer.headers["Content-Type"] == "image/png"


def test_a_deleted_dataset_only_means_that_no_images_are_offered(viewer, endpoint, model):
    model.training.dataset.delete()
    text = viewer.get(of_stage("stage", endpoint.default_stage)).content.decode()
    assert "data-tryit-sample" not in text
    assert 'id="try-image"' in text


@pytest.mark.parametrize("period", ["", "x", "9" * 5000], ids=["none", "x", "huge"])
def test_a_period_that_is_not_offered_is_the_last_hour(viewer, endpoint, period):
    figures = viewer.get(of_stage("stage_statistics", endpoint.default_stage), {"range": period}).json()
    assert 59 * 60 <= figures["to"] - figures["from"] <= 3600
    assert figures["unfinished"]


def test_statistics_of_the_chosen_period(viewer, endpoint):
    stage, now = endpoint.default_stage, timezone.now()
    calls = [(5, 200, 10), (5, 503, 20), (90, 400, 30)]
    statistics.write(
        [
            statistics.Call(stage.pk, now - timedelta(minutes=ago), "/inference", status, milliseconds)
            for ago, status, milliseconds in calls
        ]
    )
    hour = viewer.get(of_stage("stage_statistics", stage)).json()
    day = viewer.get(of_stage("stage_statistics", stage), {"range": "day"}).json()
    requests = {one["name"]: one["points"] for one in hour["charts"][0]["series"]}
    assert [value for _at, value in requests["succeeded"]] == [1]
    assert [value for _at, value in requests["server_errors"]] == [1]
    assert len(day["charts"][1]["series"][0]["points"]) == 2
    assert (hour["unfinished"], day["unfinished"]) == (True, False)
    text = viewer.get(of_stage("stage", stage), {"range": "day"}).content.decode()
    figures = dict(re.findall(r"<dt>([^<]+)</dt><dd[^>]*>([^<]+)</dd>", text))
    assert (figures["Requests"], figures["Success"], figures["Request errors"], figures["Server errors"]) == tuple(
        "3111"
    )


@pytest.mark.parametrize(
    ("period", "title", "moves"),
    [
        ("hour", "Requests a minute", True),
        ("day", "Requests in 15 minutes", False),
        ("week", "Requests an hour", False),
        ("quarter", "Requests a day", False),
    ],
)
def test_each_period_has_its_charts_and_only_the_last_hour_asks_again(viewer, endpoint, period, title, moves):
    stage = endpoint.default_stage
    call = statistics.Call(stage.pk, timezone.now(), "/inference", 200, 5, bytes_in=2 * 2**20, batch_size=4)
    statistics.write([call])
    answer = viewer.get(of_stage("stage_statistics", stage), {"range": period}).json()
    titles = [chart["title"] for chart in answer["charts"]]
    assert titles == [title, "Time to answer, in ms", "Data, in MB", "Images computed together"]
    assert answer["charts"][2]["series"][0]["points"][0][1] == 2
    assert answer["unfinished"] is moves
    text = viewer.get(of_stage("stage", stage), {"range": period}).content.decode()
    assert ('hx-trigger="every 5s"' in text) is moves


def test_a_second_model_on_the_stage(editor, endpoint, model):
    other = served.model(model.training, "second model")
    stage = endpoint.default_stage
    url = of_stage("resource_add", stage)
    refused = editor.post(url, {"model": other.pk, "path": "/inference"}).content.decode()
    assert "The stage has a model under that path already." in refused
    editor.post(url, {"model": other.pk, "path": "/second"})
    assert set(stage.resources.values_list("path", flat=True)) == {"/inference", "/second"}
    text = editor.get(of_stage("stage", stage)).content.decode()
    assert f"/stage/{endpoint.pk}/default/second" in text


def test_a_viewer_sees_no_button_that_changes_anything(viewer, model, endpoint):
    served.stage(endpoint, model, "canary")
    page = reverse("endpoint", args=[endpoint.project_id, endpoint.pk])
    for url in (
        page,
        f"{page}?tab=keys",
        of_stage("stage", endpoint.default_stage),
    ):
        content = viewer.get(url).content.decode().split("<main")[1].split("</main>")[0]
        actions = re.findall(r'<form[^>]*method="post"[^>]*action="([^"]+)"', content)
        assert all(action.endswith("/try/") for action in actions), actions
        assert "/stages/new/" not in content


@pytest.mark.parametrize(
    ("received", "answered", "unit"),
    [
        (4 * 2**30, 2**20, "MB"),  # in GB the answers would be 0.000977
        (4 * 2**30, 2**30, "GB"),
        (4 * 2**30, 200, "MB"),  # in B the requests would be 4,294,967,296
        (2 * 2**20, 0, "MB"),
        (700, 80, "B"),
        (10**18, 10**18, "GB"),
    ],
)
def test_data_is_charted_in_a_unit_that_both_series_can_be_read_in(viewer, endpoint, received, answered, unit):
    stage = endpoint.default_stage
    call = statistics.Call(stage.pk, timezone.now(), "/inference", 200, 5, bytes_in=received, bytes_out=answered)
    statistics.write([call])
    charts = viewer.get(of_stage("stage_statistics", stage)).json()["charts"]
    assert charts[2]["title"] == f"Data, in {unit}"


def test_data_is_charted_in_digits_that_a_reader_wants(viewer, endpoint):
    """Not 8.1084 KB."""
    stage = endpoint.default_stage
    statistics.write([statistics.Call(stage.pk, timezone.now(), "/inference", 200, 5, bytes_in=50_892, bytes_out=8303)])
    series = viewer.get(of_stage("stage_statistics", stage)).json()["charts"][2]["series"]
    assert [one["points"][0][1] for one in series] == [49.7, 8.1]
