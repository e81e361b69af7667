"""The model list, making a model of a training, its tabs, its archive."""

import io
import re
import zipfile

import pytest
from django.urls import reverse

from models_registry.models import Model
from tests.console import served


@pytest.fixture
def trained(home, project):
    return served.training(served.dataset(project))


def page(client, model, **query):
    return client.get(reverse("model", args=[model.project_id, model.pk]), query).content.decode()


def test_from_a_complete_training_only_the_name_is_left_and_that_is_suggested(editor, project, trained):
    served.training(trained.dataset, "going", "RUNNING")
    url = reverse("model_create", args=[project.pk])
    form = editor.get(url, {"training": trained.pk}).content.decode()
    assert 'name="name" value="first run"' in form
    assert f'value="{trained.pk}" selected' in form
    assert "going" not in form
    answer = editor.post(url, {"name": "first run", "training": trained.pk, "description": ""})
    made = Model.objects.get()
    assert answer.url == reverse("model", args=[project.pk, made.pk])
    assert (made.training, made.status) == (trained, "CREATE_REQUESTED")


def test_a_taken_name_is_refused_beside_the_field(editor, project, trained):
    served.model(trained)
    url = reverse("model_create", args=[project.pk])
    text = editor.post(url, {"name": "pets model", "training": trained.pk}).content.decode()
    assert re.search(r'id="id_name_error">[^<]*already taken', text)
    assert Model.objects.count() == 1


def test_a_training_of_another_project_makes_no_model(editor, project, other_project, home):
    theirs = served.training(served.dataset(other_project))
    editor.post(reverse("model_create", args=[project.pk]), {"name": "stolen", "training": theirs.pk})
    assert not Model.objects.exists()


def test_metrics_labels_and_files(editor, trained):
    files = [{"name": "model.safetensors", "bytes": 1536, "sha256": "ab" * 32}]
    made = served.model(trained, files=files, test_metrics={"accuracy": 0.8})
    overview = page(editor, made)
    assert "0.9100" in overview
    assert "0.8000" in overview
    for label in served.LABELS:
        assert f"</span> {label['name']}</li>" in overview
    listed = page(editor, made, tab="files")
    assert "model.safetensors" in listed
    assert "ab" * 32 in listed


def test_the_export_report_in_plain_words(editor, trained):
    report = {"images": 64, "equal_predictions": 0.96875, "largest_difference": 2.5e-6, "source": "dataset"}
    report |= {"opset": 18, "bytes": 2048, "seconds": 41.0, "by_output": {}}
    text = page(editor, served.model(trained, export_report=report), tab="export")
    assert "On 64 validation images the export predicts the same as PyTorch for 96.87 %" in text
    assert "2.5e-06" in text
    generated = served.model(trained, "second", export_report=report | {"source": "generated"})
    assert "validation images" not in page(editor, generated, tab="export")


def test_what_may_answer_beside_fp32_and_why_not(editor, trained):
    report = {"images": 64, "equal_predictions": 1.0, "largest_difference": 1e-6, "source": "dataset", "seconds": 41.0}
    report |= {"opset": 18, "bytes": 2048, "precisions": {}}
    half = {"runtime": "openvino", "precision": "bf16", "allowed": True, "reason": None, "metric": "accuracy"}
    report["precisions"]["bf16"] = half | {"fp32": 0.875, "value": 0.8749, "images": 64}
    text = page(editor, served.model(trained, export_report=report), tab="export")
    assert "OpenVINO, bf16</strong>: may answer where it is the fastest." in text
    assert "accuracy on 64 validation images is 0.8749; in fp32 it is 0.8750." in text
    reason = {"text": "The dataset has %(number)s validation images: too few to compare on.", "params": {"number": 3}}
    report["precisions"]["bf16"] = {"runtime": "openvino", "precision": "bf16", "allowed": False, "reason": reason}
    refused = page(editor, served.model(trained, "second", export_report=report), tab="export")
    assert "does not answer." in refused
    assert "The dataset has 3 validation images: too few to compare on." in refused


def test_an_active_model_offers_an_endpoint_and_its_archive(editor, browser_of, people, trained):
    made = served.model(trained)
    create = f"{reverse('endpoint_create', args=[made.project_id])}?model={made.pk}"
    assert create in page(editor, made)
    seen = page(browser_of(people.viewer), made)
    assert create not in seen
    assert reverse("model_download", args=[made.project_id, made.pk]) in seen


def test_the_archive_holds_every_file(editor, trained):
    made = served.model(trained)
    made.folder.mkdir(parents=True)
    (made.folder / "config.json").write_text("{}")
    (made.folder / "model.safetensors").write_bytes(b"weights" * 1000)
    answer = editor.get(reverse("model_download", args=[made.project_id, made.pk]))
    assert "pets model.zip" in answer.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:
        assert {name.rpartition("/")[2] for name in archive.namelist()} == {"config.json", "model.safetensors"}
        assert archive.testzip() is None


def test_a_model_that_is_not_active_has_no_archive(editor, trained):
    made = served.model(trained, status="CREATE_IN_PROGRESS")
    answer = editor.get(reverse("model_download", args=[made.project_id, made.pk]), follow=True)
    assert "it has no files yet" in answer.content.decode()


def test_a_served_model_names_the_stage_in_the_way(editor, trained):
    made = served.model(trained)
    owner = served.endpoint(made)
    text = editor.post(reverse("model_delete", args=[made.project_id, made.pk]), follow=True).content.decode()
    link = reverse("stage", args=[made.project_id, owner.pk, owner.default_stage.pk])
    assert re.search(rf'role="alert".*<a href="{link}" class="alert-link">', text, re.DOTALL)
    assert Model.objects.exists()
    assert link in page(editor, made)


def test_a_model_that_nobody_needs_goes(editor, trained):
    made = served.model(trained)
    made.folder.mkdir(parents=True)
    text = editor.post(reverse("model_delete", args=[made.project_id, made.pk]), follow=True).content.decode()
    assert "pets model has been deleted." in text
    assert not Model.objects.exists()
    assert not made.folder.exists()


def test_why_it_could_not_be_made(editor, trained):
    reason = {"text": "The export ended with %(code)s.", "params": {"code": 9}}
    assert "The export ended with 9." in page(
        editor, served.model(trained, status="CREATE_FAILED", status_reason=reason)
    )
