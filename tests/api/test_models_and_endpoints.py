import pytest

from endpoints.models import Endpoint, EndpointKey, Stage
from models_registry.models import Model
from training.models import Training


@pytest.fixture
def editor(api, people, project, home):
    return api(people.editor)


def test_a_model_is_made_of_a_complete_training(editor, training):
    made = editor.post("/api/v1/models/", {"name": "v2", "training": training.pk}, format="json")
    assert made.status_code == 201
    assert made.json()["status"] == "CREATE_REQUESTED"
    assert (made.json()["training"], made.json()["format"], made.json()["files"]) == (training.pk, [], [])


def test_only_a_complete_training_makes_a_model(editor, training):
    Training.objects.update(status="RUNNING")
    answer = editor.post("/api/v1/models/", {"name": "v2", "training": training.pk}, format="json")
    assert answer.status_code == 409
    assert answer.json()["error"]["fields"] == {"training": [f"first run ({training.pk})"]}


def test_the_detail_of_a_model(editor, model):
    seen = editor.get(f"/api/v1/models/{model.pk}/").json()
    assert seen["format"] == ["onnx", "safetensors"]
    assert [row["name"] for row in seen["labels"]] == ["stop", "yield"]
    assert seen["files"][0] == {"name": "model.onnx", "bytes": 10, "sha256": "ab"}
    assert seen["export_report"]["equal_predictions"] == 1.0


def test_download_is_one_archive_of_the_models_files(editor, model):
    model.folder.mkdir(parents=True)
    (model.folder / "model.json").write_text("{}")
    answer = editor.get(f"/api/v1/models/{model.pk}/download/")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == 'attachment; filename="signs v1.zip"'
    content = b"".join(answer.streaming_content)
    assert content.startswith(b"PK")
    assert b"model.json" in content


def test_a_served_model_is_not_deleted(editor, model, endpoint):
    answer = editor.delete(f"/api/v1/models/{model.pk}/")
    assert answer.status_code == 409
    assert answer.json()["error"]["fields"] == {"stage": [f"default ({endpoint.default_stage_id})"]}


def test_an_endpoint_is_made_with_its_default_stage_and_a_key_that_is_shown_once(editor, model):
    made = editor.post("/api/v1/endpoints/", {"name": "new", "model": model.pk}, format="json")
    assert made.status_code == 201
    body = made.json()
    assert (body["status"], body["access"]) == ("CREATE_REQUESTED", "key")
    assert EndpointKey.objects.is_valid(body["key"])
    assert body["url"] == f"http://testserver/stage/{body['id']}"
    [stage] = body["stages"]
    assert set(stage) == {"id", "name", "is_default", "status", "status_reason", "url", "resources"}
    assert (stage["name"], stage["is_default"], stage["url"]) == ("default", True, f"{body['url']}/default")
    assert stage["resources"][0]["url"] == f"{body['url']}/default/inference"
    assert stage["resources"][0]["model"] == model.pk
    seen = editor.get(f"/api/v1/endpoints/{body['id']}/").json()
    assert "key" not in seen
    assert body["key"] not in str(seen)


def test_an_open_endpoint_has_no_key(editor, model):
    made = editor.post("/api/v1/endpoints/", {"name": "new", "model": model.pk, "access": "open"}, format="json").json()
    assert (made["access"], made["key"]) == ("open", "")
    assert editor.get(f"/api/v1/endpoints/{made['id']}/keys/").json()["count"] == 0


def test_urls_begin_with_the_public_address_when_the_site_has_one(editor, endpoint, settings):
    settings.PUBLIC_URL = "https://vision.example/"
    seen = editor.get(f"/api/v1/endpoints/{endpoint.pk}/").json()
    assert seen["url"] == f"https://vision.example/stage/{endpoint.pk}"
    assert seen["stages"][0]["url"] == f"https://vision.example/stage/{endpoint.pk}/default"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "nothing"}, {"model"}),
        ({"access": "public"}, {"access"}),
        ({"resource_path": "no slash"}, {"resource_path"}),
        ({"name": "x" * 51}, {"name"}),
    ],
)
def test_wrong_fields_of_an_endpoint_are_named(editor, model, changes, named):
    answer = editor.post("/api/v1/endpoints/", {"name": "new", "model": model.pk, **changes}, format="json")
    assert answer.status_code == 400
    assert set(answer.json()["error"]["fields"]) == named
    assert not Endpoint.objects.exists()


def test_a_model_that_is_not_active_is_not_served(editor, model):
    Model.objects.update(status="CREATE_IN_PROGRESS")
    answer = editor.post("/api/v1/endpoints/", {"name": "new", "model": model.pk}, format="json")
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["model"])


def test_a_second_stage_becomes_the_default_and_then_the_first_can_go(editor, endpoint, model):
    address = f"/api/v1/endpoints/{endpoint.pk}/"
    first = endpoint.default_stage_id
    assert editor.delete(f"/api/v1/stages/{first}/").status_code == 409  # the default stage
    made = editor.post(f"{address}stages/", {"name": "blue", "model": model.pk}, format="json")
    assert made.status_code == 201
    blue = made.json()
    assert (blue["endpoint"], blue["is_default"], blue["status"]) == (endpoint.pk, False, "CREATE_REQUESTED")
    assert editor.delete(address).json()["error"]["fields"] == {"stage": [f"blue ({blue['id']})"]}
    early = editor.post(f"{address}default-stage/", {"stage": blue["id"]}, format="json")
    assert early.status_code == 409  # not ACTIVE yet
    Stage.objects.filter(pk=blue["id"]).update(status="ACTIVE")
    moved = editor.post(f"{address}default-stage/", {"stage": blue["id"]}, format="json")
    assert {stage["name"]: stage["is_default"] for stage in moved.json()["stages"]} == {"default": False, "blue": True}
    assert editor.delete(f"/api/v1/stages/{first}/").status_code == 204
    assert editor.get(f"/api/v1/stages/{first}/").json()["status"] == "DELETE_IN_PROGRESS"


@pytest.mark.parametrize("name", ["Blue", "a b", "x" * 31, "", "default", "v1"])
def test_stage_names(editor, endpoint, model, name):
    answer = editor.post(f"/api/v1/endpoints/{endpoint.pk}/stages/", {"name": name, "model": model.pk}, format="json")
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["name"])


def test_a_second_model_on_a_stage_takes_a_path_of_its_own(editor, endpoint, model, training, project):
    second = Model.objects.create(
        project=project, name="v2", training=training, algorithm=training.algorithm, status="ACTIVE"
    )
    address = f"/api/v1/stages/{endpoint.default_stage_id}/resources/"
    same = editor.post(address, {"model": second.pk, "path": "/inference"}, format="json")
    assert (same.status_code, list(same.json()["error"]["fields"])) == (400, ["path"])
    made = editor.post(address, {"model": second.pk, "path": "/second"}, format="json")
    assert made.status_code == 201
    assert made.json()["url"] == f"http://testserver/stage/{endpoint.pk}/default/second"
    paths = [row["path"] for row in editor.get(f"/api/v1/stages/{endpoint.default_stage_id}/").json()["resources"]]
    assert paths == ["/inference", "/second"]


def test_keys_are_made_listed_and_revoked(editor, endpoint):
    address = f"/api/v1/endpoints/{endpoint.pk}/keys/"
    made = editor.post(address, {"name": "robot"}, format="json").json()
    assert EndpointKey.objects.is_valid(made["key"])
    listed = editor.get(address)
    [row] = listed.json()["results"]
    assert row == {
        "id": made["key"].partition(".")[0],
        "name": "robot",
        "created_at": made["created_at"],
        "expires_at": None,
        "calls_per_minute": None,
        "last_used_at": None,
        "revoked": False,
    }
    stored = EndpointKey.objects.get(name="robot")
    assert stored.hashed_key not in listed.content.decode()
    assert editor.delete(f"{address}{row['id']}/").status_code == 204
    assert not EndpointKey.objects.is_valid(made["key"])
    assert editor.delete(f"{address}nothing/").status_code == 404


def test_statistics_of_a_stage(editor, endpoint):
    address = f"/api/v1/stages/{endpoint.default_stage_id}/statistics/"
    seen = editor.get(address).json()
    assert (seen["calls"], seen["p50"], seen["minutes"], seen["requests"]) == (0, None, [], [])
    assert editor.get(f"{address}?hours=24").status_code == 200
    wrong = editor.get(f"{address}?hours=0")
    assert (wrong.status_code, list(wrong.json()["error"]["fields"])) == (400, ["hours"])


def test_delete_of_an_endpoint_undeploys_it(editor, endpoint):
    assert editor.delete(f"/api/v1/endpoints/{endpoint.pk}/").status_code == 204
    seen = editor.get(f"/api/v1/endpoints/{endpoint.pk}/").json()
    assert (seen["status"], seen["stages"][0]["status"]) == ("DELETE_IN_PROGRESS", "DELETE_IN_PROGRESS")
