"""Datasets from the browser's side, with the real services behind."""

import io
import json
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from PIL import Image

from training import ingest, samples
from training.algorithms.base import Message, Problem
from training.models import Dataset, Experiment, Training


@pytest.fixture
def editor(browser_of, people, home) -> Client:
    return browser_of(people.editor)


@pytest.fixture
def zipped(home) -> bytes:
    path = home / "sample.zip"
    samples.write("object_detection", path)
    return path.read_bytes()


def upload(client: Client, project, content: bytes, **values: str):
    file = SimpleUploadedFile("보행자 2024.zip", content, "application/zip")
    data = {"algorithm": "object_detection", "file": file, **values}
    return client.post(reverse("dataset_create", args=[project.pk]), data)


def text(client: Client, url: str, **query: str) -> str:
    return client.get(url, query).content.decode()


@pytest.fixture
def ready(editor, project, zipped) -> Dataset:
    upload(editor, project, zipped, name="boxes")
    dataset = Dataset.objects.get()
    ingest.run(dataset.pk)
    dataset.refresh_from_db()
    assert dataset.status == "READY", dataset.report
    return dataset


def test_an_upload_leads_to_the_new_dataset_named_after_the_file(editor, project, zipped):
    answer = upload(editor, project, zipped)
    dataset = Dataset.objects.get()
    assert (answer.status_code, answer.url) == (302, reverse("dataset", args=[project.pk, dataset.pk]))
    assert dataset.name == "보행자 2024"
    assert dataset.upload_path.read_bytes() == zipped
    assert "VALIDATING" in text(editor, answer.url)


def test_what_the_service_refuses_stands_beside_its_field(editor, project, zipped):
    upload(editor, project, zipped, name="taken")
    again = upload(editor, project, zipped, name="taken").content.decode()
    assert 'id="id_name_error"' in again
    broken = upload(editor, project, b"no zip", name="other").content.decode()
    assert 'id="id_file_error"' in broken
    assert Dataset.objects.count() == 1


def test_overview_shows_counts_of_splits_and_classes(editor, project, ready):
    page = text(editor, reverse("dataset", args=[project.pk, ready.pk]))
    for split, images in ready.images.items():
        assert f"<dt>{split}</dt><dd>{images} images</dd>" in page
    for name, count in ready.counts["train"].items():
        row = page.split(f'<th scope="row">{name}</th>')[1].split("</tr>")[0]
        assert f">{count}</td>" in row
    assert ready.zip_sha256 in page


def test_preview_shows_a_split_with_its_boxes_and_pages(editor, project, ready):
    url = reverse("dataset", args=[project.pk, ready.pk])
    first = text(editor, url, tab="preview")
    assert first.count("<figure>") == 24
    assert "images=2" in first
    assert text(editor, url, tab="preview", images="2").count("<figure>") == ready.images["train"] - 24
    assert text(editor, url, tab="preview", split="validation").count("<figure>") == ready.images["validation"]
    source = first.split("<figure>")[1].split('<img src="')[1].split('"')[0].replace("&amp;", "&")
    plain = editor.get(source.replace("overlay=1", "overlay=0"))
    boxed = editor.get(source)
    assert boxed.headers["Content-Type"] == "image/jpeg"
    assert Image.open(io.BytesIO(boxed.content)).size == Image.open(io.BytesIO(plain.content)).size
    assert boxed.content != plain.content


def test_an_image_is_only_ever_one_of_the_dataset(editor, project, ready):
    url = reverse("dataset_image", args=[project.pk, ready.pk])
    for path in ("", "../../secret.key", "/etc/passwd", "labels.json", "train/none.png", "\0"):
        assert editor.get(url, {"path": path}).status_code == 404


def test_the_report_names_every_file_once_under_what_is_wrong(editor, project):
    unreadable = [Problem("bad", Message("The image cannot be read."), f"train/{n}.png") for n in range(5)]
    warning = Problem(
        "only", Message("The label %(label)s is only in validation.", {"label": "<b>cat"}), level="warning"
    )
    dataset = Dataset.objects.create(
        project=project,
        name="broken",
        algorithm="image_classification",
        status="INVALID",
        status_reason=Message("%(count)s problems were found.", {"count": 5}).as_json(),
        report=[problem.as_json() for problem in (*unreadable, warning)],
    )
    page = text(editor, reverse("dataset", args=[project.pk, dataset.pk]))
    assert page.count("The image cannot be read.") == 1
    assert all(f"<code>train/{n}.png</code>" in page for n in range(5))
    assert "The label &lt;b&gt;cat is only in validation." in page
    assert "5 problems were found." in page
    assert page.index("cannot be used") < page.index("Warnings:")


def test_what_the_console_failed_at_has_a_button_that_checks_it_again(editor, browser_of, people, project, zipped):
    upload(editor, project, zipped, name="boxes")
    dataset = Dataset.objects.get()
    url, check = (reverse(name, args=[project.pk, dataset.pk]) for name in ("dataset", "dataset_check"))
    (dataset.folder / "attempts").write_bytes(b"." * ingest.MAX_ATTEMPTS)
    ingest.run(dataset.pk)
    page = text(editor, url)
    assert check in page
    assert "did not come to its end" in page
    assert "every file was checked" not in page
    assert check not in text(browser_of(people.viewer), url)
    assert browser_of(people.viewer).post(check).status_code == 403
    assert editor.post(check).url == url
    assert "VALIDATING" in text(editor, url)
    ingest.run(dataset.pk)
    assert check not in text(editor, url)
    assert "cannot be checked again" in editor.post(check, follow=True).content.decode()
    dataset.refresh_from_db()
    assert dataset.status == "READY"


def test_a_sample_is_one_click(editor, project):
    answer = editor.post(reverse("dataset_sample", args=[project.pk]), {"algorithm": "semantic_segmentation"})
    dataset = Dataset.objects.get()
    assert answer.url == reverse("dataset", args=[project.pk, dataset.pk])
    assert dataset.algorithm == "semantic_segmentation"


def test_a_training_in_the_way_is_named_with_its_link(editor, project, ready):
    training = Training.objects.create(
        project=project,
        name="busy run",
        dataset=ready,
        dataset_name="boxes",
        algorithm=ready.algorithm,
        status="RUNNING",
    )
    answer = editor.post(reverse("dataset_delete", args=[project.pk, ready.pk]), follow=True).content.decode()
    assert f'<a href="{reverse("training", args=[project.pk, training.pk])}" class="alert-link">busy run</a>' in answer
    assert re.sub("<[^>]+>", "", answer).count("not finished: busy run.") == 1
    ready.refresh_from_db()
    assert ready.status == "READY"
    training.delete()
    editor.post(reverse("dataset_delete", args=[project.pk, ready.pk]))
    assert not Dataset.objects.filter(pk=ready.pk, status="READY").exists()


def test_an_experiment_is_made_shown_with_its_trainings_and_guarded(editor, project, ready):
    answer = editor.post(reverse("experiment_create", args=[project.pk]), {"name": "First ideas"})
    experiment = Experiment.objects.get()
    assert answer.url == reverse("experiment", args=[project.pk, experiment.pk])
    Training.objects.create(
        project=project,
        name="run",
        dataset_name="boxes",
        algorithm=ready.algorithm,
        experiment=experiment,
        status="COMPLETE",
    )
    assert ">run</a>" in text(editor, answer.url)
    refused = editor.post(reverse("experiment_delete", args=[project.pk, experiment.pk]), follow=True)
    assert ">run</a>" in refused.content.decode().split('id="messages"')[1].split("</div>\n</div>")[0]
    assert Experiment.objects.exists()
    Training.objects.all().delete()
    editor.post(reverse("experiment_delete", args=[project.pk, experiment.pk]))
    assert not Experiment.objects.exists()


def test_reports_of_a_stranger_cannot_break_the_page(editor, project):
    """Class names come from the zip: they are shown as they are, and never run."""
    name = "<script>alert(1)</script>%s%(x)s"
    dataset = Dataset.objects.create(
        project=project,
        name="odd",
        algorithm="image_classification",
        status="READY",
        images={"train": 1},
        counts={"train": {name: 1}},
        labels=[{"id": 0, "name": name}],
    )
    page = text(editor, reverse("dataset", args=[project.pk, dataset.pk]))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;%s%(x)s" in page
    assert json.dumps(name) not in page
