"""Creating, changing and deleting endpoints, stages and keys: the rows, the guards, the route table."""

import json

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction

from endpoints import reconcile, routes, services
from endpoints.models import Endpoint, EndpointKey, Stage, StageMinute
from tests.endpoints.colours import colour_model
from training import lifecycle
from training.algorithms.base import Message
from training.errors import Conflict

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def endpoint(project, people, model) -> Endpoint:
    return services.endpoint_create(project=project, user=people.owner, name="signs", model=model)[0]


@pytest.fixture
def second(endpoint, people, model) -> Stage:
    return services.stage_create(endpoint=endpoint, user=people.owner, name="canary", model=model)


def errors_of(call, **arguments) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as caught:
        call(**arguments)
    return caught.value.message_dict


def deploy(stage: Stage, *statuses: str) -> None:
    """Move the stage as the supervisor would."""
    stage.refresh_from_db()
    for status in statuses:
        assert lifecycle.move(stage, status)
    services.endpoint_refresh(stage.endpoint)


def published() -> dict:
    return json.loads(routes.table_path().read_text())["endpoints"]


def status(endpoint: Endpoint) -> str:
    return Endpoint.objects.get(pk=endpoint.pk).status


def test_endpoint_is_made_with_its_default_stage_and_one_key(project, people, model):
    endpoint, key = services.endpoint_create(
        project=project, user=people.owner, name=" signs ", model=model, resource_path="/detect/signs"
    )
    stage = endpoint.stages.get()
    assert (endpoint.name, endpoint.status, endpoint.created_by) == ("signs", "CREATE_REQUESTED", people.owner)
    assert (stage.name, stage.is_default, stage.status) == ("default", True, "CREATE_REQUESTED")
    assert stage.path == f"/stage/{endpoint.pk}/default"
    assert stage.resources.get().path == "/detect/signs"
    assert EndpointKey.objects.is_valid(key)
    assert key not in json.dumps(published())
    assert published()[endpoint.pk]["default"] == "default"
    assert published()[endpoint.pk]["stages"]["default"]["resources"] == [
        {"id": stage.resources.get().pk, "path": "/detect/signs", "model": "colours", "sockets": []}
    ]


def test_open_endpoint_has_no_key(project, people, model):
    endpoint, key = services.endpoint_create(
        project=project, user=people.owner, name="signs", model=model, access="open"
    )
    assert key == ""
    assert not endpoint.keys.exists()
    assert published()[endpoint.pk]["access"] == "open"


def test_every_wrong_field_is_named_at_once(project, other_project, people):
    foreign = colour_model(other_project, "foreign")
    found = errors_of(
        services.endpoint_create,
        project=project,
        user=people.owner,
        name="n" * 51,
        model=foreign,
        access="secret",
        description="d" * 256,
        resource_path="inference",
    )
    assert set(found) == {"name", "model", "access", "description", "resource_path"}
    assert not Endpoint.objects.exists()
    assert not EndpointKey.objects.exists()


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v1",
        "/v2/models",
        "/-/ready",
        "/-",
        "/a//b",
        "/a/",
        "/../x",
        "/a/../x",
        "/.",
        "/a b",
        "/default/x",
        "/" + "x" * 100,
    ],
)
def test_resource_paths_that_could_be_mistaken_are_refused(project, people, model, path):
    found = errors_of(
        services.endpoint_create, project=project, user=people.owner, name="signs", model=model, resource_path=path
    )
    assert set(found) == {"resource_path"}


def test_name_is_free_in_another_project_only(endpoint, other_project, project, people, model):
    found = errors_of(services.endpoint_create, project=project, user=people.owner, name="signs", model=model)
    assert set(found) == {"name"}
    services.endpoint_create(
        project=other_project, user=people.outsider, name="signs", model=colour_model(other_project)
    )


@pytest.mark.parametrize("model_status", ["CREATE_IN_PROGRESS", "CREATE_FAILED", "DELETE_IN_PROGRESS"])
def test_only_an_active_model_is_served(project, people, model, model_status):
    type(model).objects.update(status=model_status)
    found = errors_of(services.endpoint_create, project=project, user=people.owner, name="signs", model=model)
    assert set(found) == {"model"}


@pytest.mark.parametrize("name", ["", "Canary", "a-b", "v1", "v2", "inference", "x" * 31, "카나리", "default"])
def test_stage_names(endpoint, people, model, name):
    found = errors_of(services.stage_create, endpoint=endpoint, user=people.owner, name=name, model=model)
    assert set(found) == {"name"}


@pytest.mark.parametrize("name", ["v1", "v2", "inference"])
def test_a_reserved_stage_name_is_called_reserved(project, people, model, name):
    made, _key = services.endpoint_create(
        project=project, user=people.owner, name="elsewhere", model=model, resource_path="/other"
    )
    found = errors_of(services.stage_create, endpoint=made, user=people.owner, name=name, model=model)
    assert found["name"] == [f"The name {name} is reserved. Choose another one."]


def test_stage_name_and_resource_path_never_mean_the_same_url(endpoint, people, model, project):
    other = colour_model(project, "shades")
    services.resource_add(stage=endpoint.default_stage, user=people.owner, model=other, path="/night/shades")
    make = {"endpoint": endpoint, "user": people.owner, "model": model}
    assert set(errors_of(services.stage_create, name="night", **make)) == {"name"}
    assert set(errors_of(services.stage_create, name="day", resource_path="/day", **make)) == {"resource_path"}
    services.stage_create(name="day", **make)
    stage = {"stage": endpoint.default_stage, "user": people.owner}
    assert set(errors_of(services.resource_add, model=model, path="/day/x", **stage)) == {"path", "model"}
    assert set(errors_of(services.resource_add, model=other, path="/inference", **stage)) == {"path", "model"}


def test_endpoint_status_follows_its_stages(endpoint, people, model):
    stage = endpoint.default_stage
    deploy(stage, "DEPLOY_IN_PROGRESS")
    assert status(endpoint) == "CREATE_IN_PROGRESS"
    deploy(stage, "DEPLOY_FAILED")
    assert status(endpoint) == "CREATE_FAILED"
    deploy(stage, "DEPLOY_IN_PROGRESS")
    assert status(endpoint) == "CREATE_IN_PROGRESS"
    deploy(stage, "ACTIVE")
    assert status(endpoint) == "ACTIVE"
    second = services.stage_create(endpoint=endpoint, user=people.owner, name="canary", model=model)
    assert status(endpoint) == "UPDATE_IN_PROGRESS"
    deploy(second, "DEPLOY_IN_PROGRESS", "DEPLOY_FAILED")
    assert status(endpoint) == "UPDATE_FAILED"
    assert "canary" in str(Message.from_json(Endpoint.objects.get().status_reason))
    services.stage_delete(stage=second, user=people.owner)
    assert status(endpoint) == "ACTIVE"
    moves = list(endpoint.events().order_by("id").values_list("to_status", flat=True))
    assert moves[-4:] == ["ACTIVE", "UPDATE_IN_PROGRESS", "UPDATE_FAILED", "ACTIVE"]


def test_first_active_stage_ends_creation_though_another_failed(endpoint, second):
    deploy(second, "DEPLOY_FAILED")
    deploy(endpoint.default_stage, "DEPLOY_IN_PROGRESS", "ACTIVE")
    assert status(endpoint) == "UPDATE_FAILED"


def test_default_stage_moves_only_to_an_active_stage(endpoint, second, people):
    change = {"endpoint": endpoint, "stage": second, "user": people.owner}
    with pytest.raises(Conflict) as caught:
        services.endpoint_set_default(**change)
    assert caught.value.blockers == [second]
    assert published()[endpoint.pk]["default"] == "default"
    deploy(second, "DEPLOY_IN_PROGRESS", "ACTIVE")
    services.endpoint_set_default(**change)
    assert published()[endpoint.pk]["default"] == "canary"
    assert Stage.objects.get(name="canary").is_default
    assert endpoint.events().filter(to_status="default_stage", actor=people.owner).count() == 1


def test_stage_of_another_endpoint_never_becomes_the_default(endpoint, project, people, model):
    other, _ = services.endpoint_create(project=project, user=people.owner, name="other", model=model)
    deploy(other.default_stage, "DEPLOY_IN_PROGRESS", "ACTIVE")
    with pytest.raises(Conflict):
        services.endpoint_set_default(endpoint=endpoint, stage=other.default_stage, user=people.owner)


def test_default_stage_is_not_deleted_and_an_endpoint_not_with_other_stages(endpoint, second, people):
    with pytest.raises(Conflict):
        services.stage_delete(stage=endpoint.default_stage, user=people.owner)
    with pytest.raises(Conflict) as caught:
        services.endpoint_delete(endpoint=endpoint, user=people.owner)
    assert caught.value.blockers == [second]
    assert "canary" in str(caught.value)
    services.stage_delete(stage=second, user=people.owner)
    assert set(published()[endpoint.pk]["stages"]) == {"default"}
    services.stage_remove(stage=second)
    services.endpoint_delete(endpoint=endpoint, user=people.owner)
    assert status(endpoint) == "DELETE_IN_PROGRESS"
    assert published() == {}


def test_nothing_is_added_to_what_is_being_deleted(endpoint, people, model):
    stage = endpoint.default_stage
    services.endpoint_delete(endpoint=endpoint, user=people.owner)
    with pytest.raises(Conflict):
        services.stage_create(endpoint=endpoint, user=people.owner, name="late", model=model)
    with pytest.raises(Conflict):
        services.resource_add(stage=stage, user=people.owner, model=model, path="/late")
    with pytest.raises(Conflict):
        services.stage_redeploy(stage=stage, user=people.owner)
    with pytest.raises(Conflict):
        services.key_create(endpoint=endpoint, user=people.owner, name="late")
    with pytest.raises(Conflict):
        services.endpoint_delete(endpoint=endpoint, user=people.owner)


def test_key_is_known_by_its_hash_until_it_is_revoked(endpoint, people):
    key, plain = services.key_create(endpoint=endpoint, user=people.owner, name="line 3")
    assert published()[endpoint.pk]["keys"][key.prefix]["hash"] == key.hashed_key
    assert plain.partition(".")[2] not in routes.table_path().read_text()
    assert set(errors_of(services.key_create, endpoint=endpoint, user=people.owner, name="line 3")) == {"name"}
    assert set(errors_of(services.key_create, endpoint=endpoint, user=people.owner, name="x" * 51)) == {"name"}
    services.key_revoke(key=key, user=people.owner)
    services.key_revoke(key=key, user=people.owner)
    assert key.prefix not in published()[endpoint.pk]["keys"]
    events = list(endpoint.events().order_by("id").values_list("to_status", flat=True))
    assert events[-2:] == ["key_created", "key_revoked"]


def test_rolled_back_change_publishes_nothing(project, people, model, endpoint):
    before = routes.table_path().read_bytes()

    @transaction.atomic
    def change_of_mind() -> None:
        services.endpoint_create(project=project, user=people.owner, name="never", model=model)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        change_of_mind()
    assert routes.table_path().read_bytes() == before


def test_reconcile_mends_what_a_killed_process_left(endpoint):
    Stage.objects.update(status="ACTIVE")  # moved, and killed before the endpoint followed
    endpoint.default_stage.resources.update(settings={"runtime": "onnxruntime"}, sockets=["a.sock"])
    routes.table_path().write_text('{"version": 1, "endp')  # cut off
    StageMinute.objects.create(stage=endpoint.default_stage, minute="2001-01-01T00:00Z", calls=1)
    reconcile.run()
    assert status(endpoint) == "ACTIVE"
    assert len(published()[endpoint.pk]["stages"]["default"]["resources"][0]["sockets"]) == 1
    assert not StageMinute.objects.exists()


def test_sockets_of_a_deep_home_are_in_a_short_private_folder(settings, tmp_path):
    settings.RUN_FOLDER = tmp_path / ("deep" * 30) / "run"
    path = routes.socket_path("0" * 20)
    assert len(str(path)) <= routes.SOCKET_PATH_BYTES
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path == routes.socket_path("0" * 20)
    path.parent.chmod(0o755)
    with pytest.raises(PermissionError):
        routes.engines_folder()
    path.parent.rmdir()
