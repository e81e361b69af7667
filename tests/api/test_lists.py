"""Paging, search, ordering and filters, alike in every list."""

import pytest

from training.models import Experiment, Training


@pytest.fixture
def viewer(api, people, project):
    return api(people.viewer)


@pytest.fixture
def experiments(project):
    return [
        Experiment.objects.create(project=project, name=f"trial {n:02d}", description="odd" * (n % 2))
        for n in range(25)
    ]


def names(answer):
    return [row["name"] for row in answer.json()["results"]]


def test_pages(viewer, experiments):
    first = viewer.get("/api/v1/experiments/")
    assert (first.json()["count"], len(first.json()["results"]), first.json()["previous"]) == (25, 20, None)
    second = viewer.get(first.json()["next"])
    assert (len(second.json()["results"]), second.json()["next"]) == (5, None)
    assert len(set(names(first)) | set(names(second))) == 25
    assert len(names(viewer.get("/api/v1/experiments/?page_size=3&page=9"))) == 1


def test_the_newest_come_first_unless_another_order_is_asked_for(viewer, experiments):
    assert names(viewer.get("/api/v1/experiments/?page_size=2")) == ["trial 24", "trial 23"]
    assert names(viewer.get("/api/v1/experiments/?page_size=2&ordering=name")) == ["trial 00", "trial 01"]
    assert names(viewer.get("/api/v1/experiments/?page_size=2&ordering=-name")) == ["trial 24", "trial 23"]


def test_search_looks_at_name_and_description(viewer, experiments):
    assert names(viewer.get("/api/v1/experiments/?search=TRIAL 07")) == ["trial 07"]
    assert viewer.get("/api/v1/experiments/?search=odd").json()["count"] == 12


def test_filters_may_be_repeated_and_combined(viewer, project, dataset):
    for n, status in enumerate(("RUNNING", "COMPLETE", "STOPPED", "COMPLETE")):
        Training.objects.create(
            project=project,
            name=f"{n}",
            status=status,
            dataset=dataset if n < 2 else None,
            dataset_name="",
            algorithm="image_classification" if n < 3 else "object_detection",
        )
    url = "/api/v1/trainings/?ordering=name&"
    assert names(viewer.get(f"{url}status=COMPLETE")) == ["1", "3"]
    assert names(viewer.get(f"{url}status=COMPLETE&status=RUNNING")) == ["0", "1", "3"]
    assert names(viewer.get(f"{url}status=COMPLETE&algorithm=object_detection")) == ["3"]
    assert names(viewer.get(f"{url}dataset={dataset.pk}")) == ["0", "1"]
    assert names(viewer.get(f"{url}dataset=nothing")) == []
    wrong = viewer.get(f"{url}status=DONE")
    assert list(wrong.json()["error"]["fields"]) == ["status"]


def test_an_endpoint_appears_once_however_many_of_its_stages_serve_the_model(viewer, endpoint, model):
    second = endpoint.stages.create(name="blue", status="ACTIVE")
    second.resources.create(model=model)
    assert names(viewer.get(f"/api/v1/endpoints/?model={model.pk}")) == ["signs"]


def test_a_list_asks_the_database_a_fixed_number_of_times(
    viewer, project, people, dataset, django_assert_max_num_queries
):
    for n in range(10):
        Training.objects.create(
            project=project,
            name=f"{n}",
            dataset=dataset,
            dataset_name="",
            algorithm=dataset.algorithm,
            created_by=people.owner,
        )
    with django_assert_max_num_queries(8):
        assert viewer.get("/api/v1/trainings/").json()["count"] == 10
