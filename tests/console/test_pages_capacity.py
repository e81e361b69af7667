"""What the page of a stage says of its engines: what they run on, and what they can do."""

from django.urls import reverse

from endpoints.models import Stage
from tests.console.test_pages_stages import of_stage


def test_a_resource_says_what_it_runs_on_and_what_its_precision_costs(viewer, endpoint):
    parity = {"metric": "accuracy", "fp32": 0.9312, "value": 0.9308, "images": 64, "allowed": True}
    settings = {"runtime": "openvino", "precision": "bf16", "device": "cpu", "threads": 2, "parity": parity}
    endpoint.default_stage.resources.update(settings=settings, sockets=["a.sock"])
    text = viewer.get(of_stage("stage", endpoint.default_stage)).content.decode()
    assert "OpenVINO, bf16, CPU, 2 threads" in text
    assert "accuracy 0.9308 in bf16, 0.9312 in fp32, on 64 of its validation images" in text


def test_the_capacity_card_shows_each_row_and_why_one_is_missing(viewer, editor, endpoint):
    stage = endpoint.default_stage
    Stage.objects.filter(pk=stage.pk).update(status="ACTIVE")
    rows = [
        {"callers": 1, "per_second": 12.3, "p50_ms": 81.0, "p95_ms": 95.5, "errors": 0},
        {"callers": 4, "per_second": 20.0, "p50_ms": 190.0, "p95_ms": 250.0, "errors": 3},
        {"callers": 64, "skipped": True},
    ]
    card = {"rows": rows, "runtime": "onnxruntime", "precision": "fp32", "replicas": 2, "cold_start_seconds": 0.4}
    stage.resources.update(capacity={**card, "memory_mb": 310, "measured_at": "2026-11-24T13:17:24+00:00"})
    text = viewer.get(of_stage("stage", stage)).content.decode()
    for part in ("12.3", "81 ms", "3 refused", "more than 20 seconds", "310 MB", "ONNX Runtime, fp32", "2026-11-24"):
        assert part in text
    assert "Measure again" not in text
    assert "Measure again" in editor.get(of_stage("stage", stage)).content.decode()


def test_the_capacity_is_measured_again_by_an_editor_and_asks_for_itself_meanwhile(viewer, editor, endpoint):
    stage = endpoint.default_stage
    resource = stage.resources.get()
    Stage.objects.filter(pk=stage.pk).update(status="ACTIVE")
    address = reverse("capacity_measure", args=[stage.project_id, stage.endpoint_id, stage.pk, resource.pk])
    assert viewer.post(address).status_code == 403
    assert editor.post(address, follow=True).status_code == 200
    resource.refresh_from_db()
    assert resource.capacity_requested_at is not None
    card = reverse("capacity", args=[stage.project_id, stage.endpoint_id, stage.pk, resource.pk])
    assert 'hx-trigger="every 3s"' in viewer.get(card).content.decode()
    stage.resources.update(capacity_requested_at=None)
    assert "hx-trigger" not in viewer.get(card).content.decode()


def test_a_stage_that_was_never_measured_says_so_and_offers_it(viewer, editor, endpoint):
    stage = endpoint.default_stage
    Stage.objects.filter(pk=stage.pk).update(status="ACTIVE")
    assert "Nothing was measured yet.<" in viewer.get(of_stage("stage", stage)).content.decode()
    text = editor.get(of_stage("stage", stage)).content.decode()
    assert "&nbsp;Measure<" in text
    Stage.objects.filter(pk=stage.pk).update(status="DEPLOY_FAILED")
    assert (
        "Nothing was measured yet: it is, once the stage is ACTIVE."
        in viewer.get(of_stage("stage", stage)).content.decode()
    )
