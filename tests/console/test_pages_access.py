"""Who reaches which page: the same rule for every route below a project, also for routes that are added later."""

import pytest
from django.db import connection
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from endpoints.models import Endpoint, EndpointKey, Rollout, Stage, StageResource
from models_registry.models import Model
from training.models import Dataset, Experiment, Membership, Training

# A viewer may ask a stage for an answer or have its request written, and TensorBoard only ever shows.
ASKING = {"stage_try", "stage_input", "tensorboard", "tensorboard_path"}


def project_routes(resolver: URLResolver) -> list[URLPattern]:
    found: list[URLPattern] = []
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            found += project_routes(pattern)
        elif "<str:project>" in str(pattern.pattern):
            found.append(pattern)
    return found


ROUTES = project_routes(get_resolver())
NAMES = sorted(str(route.name) for route in ROUTES)


@pytest.fixture
def things(project) -> dict[str, object]:
    """One object of each kind in the project, by the first word of the names of its routes."""
    dataset = Dataset.objects.create(project=project, name="signs", algorithm="image_classification", status="READY")
    experiment = Experiment.objects.create(project=project, name="first")
    training = Training.objects.create(
        project=project,
        name="run",
        dataset=dataset,
        dataset_name="signs",
        algorithm=dataset.algorithm,
        status="COMPLETE",
    )
    model = Model.objects.create(project=project, name="signs", training=training, algorithm=dataset.algorithm)
    endpoint = Endpoint.objects.create(project=project, name="signs")
    stage = Stage.objects.create(endpoint=endpoint, name="default")
    StageResource.objects.create(stage=stage, model=model)
    EndpointKey.objects.create_key(endpoint=endpoint, name="first")
    Rollout.objects.create(endpoint=endpoint, stage=stage, mode="canary", share=10)
    kinds = {"dataset": dataset, "experiment": experiment, "training": training, "model": model, "endpoint": endpoint}
    return kinds | {
        "stage": stage,
        "key": endpoint,
        "resource": stage,
        "capacity": stage,
        "rollout": endpoint,
        "tensorboard": training,
        "checkpoints": training,
    }


@pytest.fixture
def address(project, people, things):
    """address(name) is the route's URL with ids of the project's own objects."""

    def of(name: str, owner=project) -> str:
        route = next(route for route in ROUTES if route.name == name)
        values = {
            "project": owner.pk,
            "user": people.editor.pk,
            "endpoint": things["endpoint"].pk,
            "stage": things["stage"].pk,
            "prefix": EndpointKey.objects.get().prefix,
            "resource": StageResource.objects.get().pk,
            "record": 1,
            "rollout": Rollout.objects.get().pk,
            "path": "index.js",
        }
        thing = things.get(name.split("_", maxsplit=1)[0])
        values |= {"pk": thing.pk} if thing else {}
        return reverse(name, kwargs={key: values[key] for key in route.pattern.converters})

    return of


def statuses(client: Client, url: str) -> set[int]:
    return {client.get(url).status_code, client.post(url).status_code}


def test_an_outsider_sees_404_everywhere(address, browser_of, people):
    seen = {name: statuses(browser_of(people.outsider), address(name)) for name in NAMES}
    assert {name: codes for name, codes in seen.items() if 404 not in codes or codes - {404, 405}} == {}


def test_somebody_without_login_is_sent_to_the_login_page(address):
    answers = {name: Client().get(address(name)) for name in NAMES}
    assert {name for name, answer in answers.items() if answer.status_code != 302} == set()
    assert {answer.url.split("?")[0] for answer in answers.values()} == {"/login/"}


def test_a_viewer_changes_nothing(address, browser_of, people):
    client = browser_of(people.viewer)
    seen = {name: client.post(address(name)).status_code for name in NAMES if name not in ASKING}
    assert {name: code for name, code in seen.items() if code not in {403, 405}} == {}


def test_an_object_is_not_found_under_another_project_of_ones_own(address, browser_of, people, other_project):
    Membership.objects.create(project=other_project, user=people.owner, role="admin")
    client = browser_of(people.owner)
    named = [str(route.name) for route in ROUTES if {"pk", "endpoint"} & set(route.pattern.converters)]
    seen = {name: statuses(client, address(name, other_project)) for name in named}
    assert {name: codes for name, codes in seen.items() if 404 not in codes or codes - {404, 405}} == {}


def test_pages_for_changing_are_closed_to_a_viewer(browser_of, people, address):
    client = browser_of(people.viewer)
    assert client.get(address("dataset_create")).status_code == 403
    assert client.get(address("experiment_create")).status_code == 403


def test_a_viewer_is_shown_no_button_that_changes_something(browser_of, people, address):
    for name in ("datasets", "dataset", "experiments", "experiment", "dashboard", "project_settings"):
        page = browser_of(people.viewer).get(address(name)).content.decode()
        posts = [part.split('"')[0] for part in page.split('method="post" action="')[1:]]
        assert set(posts) <= {"/logout/", "/i18n/setlang/"}, name
        assert "/new/" not in page.replace("/projects/new/", ""), name


def test_the_appkey_is_for_editors_and_admins(browser_of, people, project, address):
    for person, shown in ((people.viewer, False), (people.editor, True), (people.owner, True)):
        page = browser_of(person).get(address("project_settings")).content.decode()
        assert (project.appkey in page) is shown


def test_a_fragment_without_login_loads_the_login_page_in_full(address):
    answer = Client().get(address("datasets"), headers={"HX-Request": "true", "HX-Target": "rows"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, "/login/")


def test_pages_run_no_script_but_our_own(browser_of, people, address):
    answer = browser_of(people.owner).get(address("dashboard"))
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "script-src" not in policy  # so that scripts fall under default-src
    scripts = answer.content.decode().split("<script")[1:]
    assert scripts
    assert all(script.split(">")[1].startswith("</script") for script in scripts)


def test_what_is_deleted_while_it_is_looked_up_is_not_found(editor, things):
    """The row goes right after the question that found it, as when a worker removes it at that moment."""
    dataset = things["dataset"]
    asked = []

    def delete_behind(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if "training_dataset" in sql and sql.startswith("SELECT") and not asked:
            asked.append(sql)
            with context["connection"].cursor() as cursor:
                cursor.execute("UPDATE training_training SET dataset_id = NULL")
                cursor.execute("DELETE FROM training_dataset WHERE id = %s", [dataset.pk])
        return result

    with connection.execute_wrapper(delete_behind):
        answer = editor.post(reverse("dataset_delete", args=[dataset.project_id, dataset.pk]))
    assert asked
    assert answer.status_code in (302, 404, 409)
