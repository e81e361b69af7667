"""Mends by the API: what a dataset offers, the version that they make, and who may."""

import pytest

from tests.corpus import classification_files, encoded, picture, write_zip
from training import ingest, services
from training.models import Dataset

URL = "/api/v1/datasets/"


@pytest.fixture
def leaky(people, project, home) -> Dataset:
    files = classification_files() | {"train/dog/leak.png": encoded(picture(1, 100))}
    with write_zip(home / "a.zip", files).open("rb") as file:
        made = services.dataset_create(
            project=project, user=people.editor, name="pets", algorithm="image_classification", file=file
        )
    ingest.run(made.pk)
    made.refresh_from_db()
    return made


def test_a_report_names_files_and_mends(api, people, leaky):
    found = api(people.viewer).get(f"{URL}{leaky.pk}/").json()
    (row,) = [row for row in found["report"] if row["code"] == "leakage"]
    assert (row["files"], row["mend"]) == (["train/dog/leak.png", "validation/dog/0.png"], "leakage_remove")
    assert (found["version"], found["based_on"], found["mends_offered"]) == (1, None, ["leakage_remove"])


def test_a_mend_makes_a_version(api, people, leaky):
    answer = api(people.editor).post(f"{URL}{leaky.pk}/mend/", {"mends": ["leakage_remove"]}, format="json")
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert {key: made[key] for key in ("name", "version", "based_on", "mends", "status")} == {
        "name": "pets v2",
        "version": 2,
        "based_on": leaky.pk,
        "mends": ["leakage_remove"],
        "status": "VALIDATING",
    }
    ingest.run(made["id"])
    found = api(people.editor).get(f"{URL}{made['id']}/").json()
    assert (found["status"], found["counts"]["train"]["dog"]) == ("READY", 4)


@pytest.mark.parametrize("body", [{}, {"mends": []}, {"mends": ["exif"]}, {"mends": "leakage_remove"}, {"mends": [{}]}])
def test_what_is_not_offered_is_refused_by_name(api, people, leaky, body):
    answer = api(people.editor).post(f"{URL}{leaky.pk}/mend/", body, format="json")
    assert answer.status_code == 400
    assert [name.partition(".")[0] for name in answer.json()["error"]["fields"]] == ["mends"]


def test_who_may_not(api, people, leaky):
    body = {"mends": ["leakage_remove"]}
    assert api(people.viewer).post(f"{URL}{leaky.pk}/mend/", body, format="json").status_code == 403
    assert api(people.outsider).post(f"{URL}{leaky.pk}/mend/", body, format="json").status_code == 404


def test_a_dataset_that_is_being_checked_is_a_conflict(api, people, leaky):
    Dataset.objects.filter(pk=leaky.pk).update(status="VALIDATING")
    answer = api(people.editor).post(f"{URL}{leaky.pk}/mend/", {"mends": ["leakage_remove"]}, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
