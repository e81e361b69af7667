"""Importing on the page and by the REST API. What an import does is tested in tests/training/test_imports.py."""

import re
from pathlib import Path

import pytest
from django.urls import reverse

from tests import corpus
from training.models import Dataset

URL = "/api/v1/datasets/import/"


@pytest.fixture
def root(home, settings, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("shared")
    settings.IMPORT_ROOTS = [str(root)]
    for name, content in corpus.classification_files().items():
        (root / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "pets" / name).write_bytes(content)
    corpus.classification_zip(root / "more pets.zip")
    return root


def page(project, **query: str) -> str:
    return reverse("dataset_import", args=[project.pk], query=query)


def test_the_way_through_the_page(editor, project, root):
    assert page(project) in editor.get(reverse("dataset_create", args=[project.pk])).text
    top = editor.get(page(project)).text
    assert str(root) in top
    assert "Everything in this folder" not in top  # the list of roots is no folder
    inside = editor.get(page(project, kind="folder", where=str(root))).text
    assert "more pets.zip" in inside
    assert "Everything in this folder" in inside
    body = {"kind": "folder", "where": str(root / "pets"), "algorithm": "image_classification"}
    answer = editor.post(page(project, kind="folder", where=str(root / "pets")), body)
    made = Dataset.objects.get()
    assert answer.url == reverse("dataset", args=[project.pk, made.pk])
    assert (made.name, made.status) == ("pets", "UPLOADING")
    shown = editor.get(answer.url).text
    assert "Copying the files" in shown
    assert str(root / "pets") in shown


def test_a_refused_import_says_why_and_keeps_the_place(editor, project, root):
    body = {"kind": "folder", "where": "/etc", "algorithm": "image_classification"}
    answer = editor.post(page(project, kind="folder", where=str(root)), body)
    assert "/etc is in no folder that imports may come from." in answer.text
    assert "more pets.zip" in answer.text
    assert "/etc is in no folder" in editor.get(page(project, kind="folder", where="/etc")).text


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ("more pets.zip", "more pets.zip is a file. Open the folder that it is in."),
        ("more pets.zip/train", "There is no "),
        ("n" * 300, "There is no "),
        ("n/" * 3000, "At most 1024 characters are allowed"),
    ],
)
def test_a_place_that_is_no_folder_is_told_and_the_way_back_shown(editor, project, root, where, problem):
    answer = editor.get(page(project, kind="folder", where=f"{root}/{where}"))
    assert answer.status_code == 200
    assert problem in answer.text
    assert '<a href="?kind=folder&amp;where=">Allowed folders</a>' in answer.text
    assert "Everything in this folder" not in answer.text


@pytest.mark.parametrize("where", ["", "pets\0", "n" * 300, "n/" * 3000])
def test_a_place_that_is_none_is_refused_with_the_reason_on_the_page(editor, project, root, where):
    body = {"kind": "folder", "where": where and f"{root}/{where}", "algorithm": "image_classification", "name": "a"}
    answer = editor.post(page(project, kind="folder", where=str(root)), body)
    assert answer.status_code == 200
    assert re.search(r'class="(console-error|alert alert-danger)', answer.text)
    assert not Dataset.objects.exists()


def test_who_may_import(editor, viewer, browser_of, people, project, root, settings):
    assert viewer.get(page(project)).status_code == 403
    assert browser_of(people.outsider).get(page(project)).status_code == 404
    settings.IMPORT_ROOTS = []
    assert editor.get(page(project)).status_code == 404
    assert page(project) not in editor.get(reverse("dataset_create", args=[project.pk])).text


def test_the_api_lists_and_imports(api, people, project, root):
    client = api(people.editor)
    assert client.get(URL).json() == {
        "kinds": ["folder"],
        "problem": "",
        "entries": [{"name": str(root), "where": str(root), "folder": True, "size": 0}],
    }
    inside = client.get(URL, {"kind": "folder", "where": str(root)}).json()["entries"]
    assert [(row["name"], row["folder"]) for row in inside] == [("pets", True), ("more pets.zip", False)]
    source = {"kind": "folder", "where": str(root / "pets")}
    answer = client.post(URL, {"name": "a", "algorithm": "image_classification", "source": source}, format="json")
    assert answer.status_code == 201, answer.json()
    assert (answer.json()["status"], answer.json()["source"]) == ("UPLOADING", source)


@pytest.mark.parametrize(
    "source",
    [{"kind": "folder", "where": "/etc"}, {"kind": "s3", "where": "x"}, {"kind": "ftp", "where": "x"}, "x", {}],
)
def test_a_source_that_is_none_is_refused_by_name(api, people, project, root, source):
    body = {"name": "a", "algorithm": "image_classification", "source": source}
    answer = api(people.editor).post(URL, body, format="json")
    assert answer.status_code == 400
    assert all(name.startswith("source") for name in answer.json()["error"]["fields"])


def test_only_editors_see_the_servers_folders(api, people, project, other_project, root):
    assert api(people.viewer).get(URL, {"where": str(root)}).json() == {"kinds": [], "problem": "", "entries": []}
    body = {"name": "a", "algorithm": "image_classification", "project": project.pk}
    body["source"] = {"kind": "folder", "where": str(root)}
    assert api(people.viewer).post(URL, body, format="json").status_code == 403
    assert api(people.outsider).post(URL, body, format="json").status_code in (400, 404)
    assert not Dataset.objects.exists()
