"""Who may do what: the same for every kind of object."""

import pytest
from knox.models import AuthToken
from rest_framework.test import APIClient

from training.models import Membership, Project, Role


@pytest.fixture
def objects(dataset, training, model, endpoint):
    """The detail address of one object of every kind."""
    rows = {"datasets": dataset, "trainings": training, "models": model, "endpoints": endpoint}
    addresses = [f"/api/v1/{kind}/{row.pk}/" for kind, row in rows.items()]
    return [*addresses, f"/api/v1/stages/{endpoint.default_stage_id}/"]


def test_the_outsider_gets_404_for_everything(api, people, objects, training, endpoint):
    client = api(people.outsider)
    parts = [f"/api/v1/trainings/{training.pk}/{part}/" for part in ("log", "metrics", "events")]
    parts += [f"/api/v1/stages/{endpoint.default_stage_id}/statistics/", f"/api/v1/endpoints/{endpoint.pk}/keys/"]
    for address in [*objects, *parts]:
        answer = client.get(address)
        assert answer.status_code == 404, address
        assert answer.json()["error"]["code"] == "not_found"
    for address in objects:
        assert client.delete(address).status_code == 404, address


def test_the_viewer_sees_everything_and_changes_nothing(api, people, objects, training, endpoint):
    client = api(people.viewer)
    for address in objects:
        assert client.get(address).status_code == 200, address
        refused = client.delete(address)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied"), address
    for address in (
        f"/api/v1/trainings/{training.pk}/stop/",
        f"/api/v1/trainings/{training.pk}/resume/",
        f"/api/v1/endpoints/{endpoint.pk}/stages/",
        f"/api/v1/endpoints/{endpoint.pk}/keys/",
        f"/api/v1/endpoints/{endpoint.pk}/default-stage/",
        f"/api/v1/stages/{endpoint.default_stage_id}/redeploy/",
    ):
        assert client.post(address, {}, format="json").status_code == 403, address


def test_the_viewer_cannot_create(api, people, project, dataset, training, model):
    client = api(people.viewer)
    for kind, body in (
        ("experiments", {"name": "x"}),
        ("trainings", {"name": "x", "dataset": dataset.pk}),
        ("models", {"name": "x", "training": training.pk}),
        ("endpoints", {"name": "x", "model": model.pk}),
    ):
        assert client.post(f"/api/v1/{kind}/", body, format="json").status_code == 403, kind


def test_what_is_not_yours_cannot_be_referred_to(api, people, other_project, dataset, training, model):
    client = api(people.outsider)
    for kind, field, row in (
        ("trainings", "dataset", dataset),
        ("models", "training", training),
        ("endpoints", "model", model),
    ):
        answer = client.post(f"/api/v1/{kind}/", {"name": "x", field: row.pk}, format="json")
        assert answer.status_code == 400, kind
        assert list(answer.json()["error"]["fields"]) == [field]


@pytest.mark.parametrize(
    "header",
    [None, "Bearer", "Bearer wrong", "Bearer a b", b"Bearer \xff\xfe", "Basic YWRtaW46YWRtaW4="],
)
def test_without_a_valid_token_the_answer_is_401(db, header):
    client = APIClient()
    if header:
        client.credentials(HTTP_AUTHORIZATION=header)
    answer = client.get("/api/v1/trainings/")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "not_authenticated"


def test_a_token_of_someone_who_left_is_refused(people):
    _, token = AuthToken.objects.create(people.editor)
    people.editor.is_active = False
    people.editor.save()
    client = APIClient(headers={"Authorization": f"Bearer {token}"})
    assert client.get("/api/v1/projects/").status_code == 401


def test_a_logged_in_browser_may_read_but_needs_a_csrf_token_to_change(people, project):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(people.editor)
    assert client.get("/api/v1/experiments/").status_code == 200
    assert client.post("/api/v1/experiments/", {"name": "x"}, format="json").status_code == 403


def test_lists_show_one_project_the_first_unless_another_is_named(api, people, project, dataset):
    second = Project.objects.create(name="Second")
    Membership.objects.create(project=second, user=people.editor, role=Role.EDITOR)
    client = api(people.editor)
    made = client.post(f"/api/v1/experiments/?project={second.pk}", {"name": "there"}, format="json").json()
    assert made["project"] == second.pk
    assert client.get("/api/v1/experiments/").json()["count"] == 0
    assert [row["name"] for row in client.get(f"/api/v1/experiments/?project={second.pk}").json()["results"]] == [
        "there"
    ]
    assert [row["name"] for row in client.get("/api/v1/projects/").json()["results"]] == ["Road signs", "Second"]
    assert api(people.outsider).get(f"/api/v1/experiments/?project={second.pk}").status_code == 404


def test_someone_without_a_project_gets_empty_lists_and_is_told_why_nothing_can_be_made(api, people):
    client = api(people.outsider)
    assert client.get("/api/v1/datasets/").json() == {"count": 0, "next": None, "previous": None, "results": []}
    answer = client.post("/api/v1/experiments/", {"name": "x"}, format="json")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == ["project"]


def test_a_new_object_goes_where_the_one_it_refers_to_is(api, people, project, dataset):
    """The editor's first project is another one: the dataset decides."""
    older = Project.objects.create(name="Older")
    Project.objects.filter(pk=older.pk).update(created_at="2020-01-01T00:00:00Z")
    Membership.objects.create(project=older, user=people.editor, role=Role.EDITOR)
    answer = api(people.editor).post("/api/v1/trainings/", {"name": "x", "dataset": dataset.pk}, format="json")
    assert (answer.status_code, answer.json()["project"]) == (201, project.pk)
