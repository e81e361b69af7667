"""The tabs of one training: overview, progress, charts, log, as they come from the server."""

import re

import pytest
from django.urls import reverse

from tests.console import served
from training.models import MetricPoint, Training

HTMX = {"HX-Request": "true"}


def page(client, training, **query):
    return client.get(reverse("training", args=[training.project_id, training.pk]), query).content.decode()


def test_the_overview_says_why_it_failed_and_what_to_know(editor, pets):
    reason = {"text": "The loss is no longer a number (step %(step)s).", "params": {"step": 20}}
    warning = {"code": "weights", "text": "Trained from scratch.", "params": {}}
    text = page(editor, served.training(pets, status="FAIL_TRAIN", status_reason=reason, warnings=[warning]))
    assert "The loss is no longer a number (step 20)." in text
    assert "Trained from scratch." in text


def test_a_notice_and_what_to_do_come_with_the_progress_while_it_runs(editor, pets):
    notice = {"code": "flat", "level": "warning", "text": "The loss has not fallen.", "params": {}}
    advice = {"text": "Try another learning_rate.", "params": {}}
    running = served.training(pets, status="RUNNING", warnings=[notice | {"advice": advice}])
    address = reverse("training", args=[running.project_id, running.pk])
    live = {**HTMX, "HX-Target": "live"}
    text = editor.get(address, {"seen": "RUNNING"}, headers=live).content.decode()
    assert "The loss has not fallen." in text
    assert "What to do:</strong> Try another learning_rate." in text
    Training.objects.update(warnings=[])
    assert "not fallen" not in editor.get(address, {"seen": "RUNNING"}, headers=live).content.decode()


def test_validation_and_test_results_are_shown_apart(editor, pets):
    text = page(editor, served.training(pets, test_metrics={"accuracy": 0.81257, "test_loss": 0.42}))
    for name, values in {"accuracy": ["0.9100", "0.8126"], "loss": ["0.3000", "0.4200"]}.items():
        cells = re.search(rf'<th scope="row">{name}</th>(.*?)</tr>', text, re.DOTALL)[1]
        assert re.findall(r'text-end">([^<]+)<', cells) == values


def test_a_coco_figure_about_objects_that_do_not_occur_is_no_value(editor, project, home):
    names = ["AP-IoU=0.50:0.95-area=all-maxDets=100", "AP-IoU=0.50:0.95-area=large-maxDets=100"]
    cars = served.dataset(project, "cars", "object_detection")
    training = served.training(cars, metrics={names[0]: 0.5, names[1]: -1.0})
    for name, value in ((names[0], 0.5), (names[1], -1.0)):
        MetricPoint.objects.create(training=training, name=f"eval_{name}", step=10, epoch=1, value=value)
    text = page(editor, training)
    assert "0.5000" in text
    assert not re.search(r'text-end">\s*-1', text)
    charts = editor.get(reverse("training_metrics", args=[training.project_id, training.pk])).json()
    assert [one["label"] for chart in charts["charts"] for one in chart["series"]] == ["AP 0.50:0.95, all"]


def test_classes_have_a_table_of_their_own(editor, project, home):
    roads = served.dataset(project, "roads", "semantic_segmentation")
    metrics = {"mean_iou": 0.5, "per_category_iou/road": 0.75, "per_category_iou/sky": 0.25}
    text = page(editor, served.training(roads, metrics=metrics))
    assert re.search(r'<th scope="row">road</th><td class="text-end">0.7500</td>', text)


def test_the_progress_asks_for_itself_only_while_the_training_is_unfinished(editor, pets):
    going = served.training(pets, "going", "RUNNING", step=30, total_steps=120, epoch=0.75, eta_seconds=95)
    live = editor.get(
        reverse("training", args=[going.project_id, going.pk]),
        {"seen": "RUNNING"},
        headers={**HTMX, "HX-Target": "live"},
    ).content.decode()
    assert 'hx-trigger="every 2s"' in live
    assert "30 / 120" in live
    assert "1 min 35 s" in live
    ended = page(editor, served.training(pets, "ended", step=120, total_steps=120)).split('id="live"')[1]
    assert "hx-trigger" not in ended.split("</div>")[0]


def test_a_training_that_ended_early_does_not_look_as_if_it_had_stopped_half_way(editor, pets):
    text = page(editor, served.training(pets, step=24, total_steps=1600, epoch=3.0))
    assert "24 / 1600" in text
    assert "<progress" not in text


def test_a_status_that_changed_brings_the_whole_detail_once(editor, pets):
    row = served.training(pets)
    url = reverse("training", args=[row.project_id, row.pk])
    live = editor.get(url, {"seen": "RUNNING"}, headers={**HTMX, "HX-Target": "live"}).content.decode()
    assert 'hx-trigger="load" hx-target="#detail"' in live


def test_a_queued_training_says_its_place(editor, pets):
    served.training(pets, "before", "CREATE_REQUESTED")
    text = page(editor, served.training(pets, "behind", "CREATE_REQUESTED"))
    assert "In the queue: 1 training is before it." in text


def test_the_charts_data(editor, pets):
    row = served.training(pets, status="RUNNING")
    values = [("loss", 10, 2.0), ("loss", 20, 1.5), ("eval_loss", 20, 1.7), ("eval_accuracy", 20, 0.6), ("odd", 20, 1)]
    MetricPoint.objects.bulk_create(
        MetricPoint(training=row, name=name, step=step, epoch=0, value=value) for name, step, value in values
    )
    answer = editor.get(reverse("training_metrics", args=[row.project_id, row.pk])).json()
    assert answer["unfinished"] is True
    series = {chart["title"]: {one["name"]: one["points"] for one in chart["series"]} for chart in answer["charts"]}
    assert series == {
        "Loss": {"loss": [[10, 2.0], [20, 1.5]], "eval_loss": [[20, 1.7]]},
        "Validation metrics": {"eval_accuracy": [[20, 0.6]]},
    }


def test_a_long_series_is_thinned_but_keeps_its_end(editor, pets):
    row = served.training(pets)
    MetricPoint.objects.bulk_create(
        MetricPoint(training=row, name="loss", step=step, epoch=0, value=1 / step) for step in range(1, 5001)
    )
    answer = editor.get(reverse("training_metrics", args=[row.project_id, row.pk])).json()
    points = answer["charts"][0]["series"][0]["points"]
    assert 400 < len(points) <= 1001
    assert points[-1] == [5000, 1 / 5000]
    assert answer["unfinished"] is False


@pytest.fixture
def logged(pets) -> Training:
    row = served.training(pets, status="RUNNING")
    row.folder.mkdir(parents=True)
    row.log_path.write_text(
        "Loading the data\n{'loss': 1.5}\n{'eval_accuracy': 0.5}\n고양이\nhalf a li", encoding="utf-8"
    )
    return row


def test_the_log_grows_by_whole_lines(editor, logged):
    url = reverse("training_log", args=[logged.project_id, logged.pk])
    first = editor.get(url, {"offset": 0}).json()
    assert first["text"].endswith("고양이\n")
    with logged.log_path.open("a") as file:
        file.write("ne\n")
    second = editor.get(url, {"offset": first["offset"]}).json()
    assert second == {"text": "half a line\n", "offset": logged.log_path.stat().st_size, "unfinished": True}


def test_a_search_looks_through_the_whole_log(editor, logged):
    lines = "".join(f"line {number} {'x' * 90}\n" for number in range(10_000))
    logged.log_path.write_text("the needle\n" + lines)
    assert "the needle" not in page(editor, logged, tab="log")
    found = page(editor, logged, tab="log", q="NEEDLE")
    assert re.search(r'<pre class="log-text"[^>]*>the needle\n</pre>', found)
    assert "No line contains it." in page(editor, logged, tab="log", q="haystack")


def test_the_log_is_a_file_too(editor, logged):
    answer = editor.get(reverse("training_log", args=[logged.project_id, logged.pk]))
    assert answer.headers["Content-Disposition"] == 'attachment; filename="first run.log"'
    assert b"".join(answer.streaming_content) == logged.log_path.read_bytes()


def test_a_log_that_is_not_there_yet(editor, pets):
    row = served.training(pets, status="CREATE_REQUESTED")
    assert "Nothing has been written yet." in page(editor, row, tab="log")
    answer = editor.get(reverse("training_log", args=[row.project_id, row.pk]), {"offset": 0})
    assert answer.json() == {"text": "", "offset": 0, "unfinished": True}
