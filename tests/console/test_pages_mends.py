"""The doctor's report in the browser: level by level, with pictures, its mends and the versions that they make."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.console.test_pages_datasets import text
from tests.corpus import classification_files, encoded, picture, write_zip
from training import ingest, services
from training.models import Dataset


@pytest.fixture
def leaky(people, project, home) -> Dataset:
    """READY, with a copy in train, a leak, and an image under a label without others."""
    files = classification_files()
    files["train/cat/copy.png"] = encoded(picture(0, 1))
    files["train/dog/leak.png"] = encoded(picture(1, 100))
    with write_zip(home / "a.zip", files).open("rb") as file:
        made = services.dataset_create(
            project=project, user=people.editor, name="pets", algorithm="image_classification", file=file
        )
    return checked(made)


def checked(dataset: Dataset) -> Dataset:
    ingest.run(dataset.pk)
    dataset.refresh_from_db()
    return dataset


@pytest.fixture
def editor(browser_of, people) -> Client:
    return browser_of(people.editor)


def test_the_report_shows_levels_pictures_and_mends(editor, project, leaky):
    page = text(editor, reverse("dataset", args=[project.pk, leaky.pk]), tab="report")
    assert 'value="leakage_remove" checked' in page
    assert 'value="duplicate_remove" checked' in page
    source = page.split('console-shots">')[1].split('<img src="')[1].split('"')[0].replace("&amp;", "&")
    assert editor.get(source).headers["Content-Type"] == "image/jpeg"
    assert "Can be mended here: Remove copies from train" in page


def test_one_level_at_a_time(editor, project):
    rows = [("error", "Broken."), ("warning", "Look here."), ("fact", "By the way.")]
    found = [{"code": "x", "level": level, "file": "", "message": said, "text": said} for level, said in rows]
    dataset = Dataset.objects.create(
        project=project, name="old", algorithm="image_classification", status="INVALID", report=found
    )
    url = reverse("dataset", args=[project.pk, dataset.pk])
    everything = text(editor, url)
    assert all(said in everything for _level, said in rows)
    for level, said in rows:
        assert [other for _, other in rows if other in text(editor, url, tab="report", level=level)] == [said]
    assert text(editor, url, tab="report", level="nonsense").count("console-problems") == 3


def test_a_mended_version_is_one_click_and_stands_among_the_versions(editor, project, leaky):
    answer = editor.post(
        reverse("dataset_mend", args=[project.pk, leaky.pk]), {"mends": ["leakage_remove", "duplicate_remove"]}
    )
    new = Dataset.objects.get(based_on=leaky)
    assert answer.url == reverse("dataset", args=[project.pk, new.pk])
    checked(new)
    page = text(editor, answer.url, tab="overview")
    versions = page.split('console-versions"')[1].split("</ul>")[0]
    assert versions.index("pets v2") < versions.index(reverse("dataset", args=[project.pk, leaky.pk]))
    assert "Take leaked images out of train, Remove copies from train" in versions
    assert "console-mends" not in text(editor, answer.url, tab="report")


def test_without_a_choice_it_asks_for_one_in_words(editor, project, leaky):
    answer = editor.post(reverse("dataset_mend", args=[project.pk, leaky.pk]), follow=True)
    assert answer.redirect_chain[-1][0].endswith("?tab=report")
    assert "Choose at least one mend." in answer.content.decode()  # the codes are for programs
    assert Dataset.objects.count() == 1


def test_who_may_not_mend(browser_of, people, project, leaky):
    url = reverse("dataset_mend", args=[project.pk, leaky.pk])
    body = {"mends": ["leakage_remove"]}
    assert browser_of(people.viewer).post(url, body).status_code == 403
    assert browser_of(people.outsider).post(url, body).status_code == 404
    page = text(browser_of(people.viewer), reverse("dataset", args=[project.pk, leaky.pk]), tab="report")
    assert "Take leaked images out of train" in page
    assert 'name="mends"' not in page
    assert Dataset.objects.count() == 1


def test_pictures_of_an_invalid_dataset_are_shown_too(editor, people, project, home):
    files = classification_files() | {"train/cat/x.png": b"x", "train/cat/copy.png": encoded(picture(0, 1))}
    with write_zip(home / "a.zip", files).open("rb") as file:
        made = services.dataset_create(
            project=project, user=people.editor, name="pets", algorithm="image_classification", file=file
        )
    assert checked(made).status == "INVALID"
    page = text(editor, reverse("dataset", args=[project.pk, made.pk]), tab="report")
    shots = page.split('console-shots">')[1].split("</div>")[0]
    assert shots.count("<img") == 2
    assert editor.get(shots.split('<img src="')[1].split('"')[0].replace("&amp;", "&")).status_code == 200
