"""The pattern of every list, seen at the datasets."""

import pytest
from django.urls import reverse

from training.models import Dataset


@pytest.fixture
def rows(project) -> list[Dataset]:
    names = [f"signs {number:02d}" for number in range(1, 24)]
    algorithm = "image_classification"
    made = [Dataset.objects.create(project=project, name=name, algorithm=algorithm, status="READY") for name in names]
    Dataset.objects.filter(name="signs 05").update(status="INVALID", description="from the northern road")
    return made


@pytest.fixture
def names(browser_of, people, project, rows):
    """names(search=..., page=...) are the names in the rows that the list answers with, in their order."""

    def of(**query: str) -> list[str]:
        page = browser_of(people.viewer).get(reverse("datasets", args=[project.pk]), query).content.decode()
        links = page.split('class="console-row-link"')[1:]
        return [link.split(">")[1].split("<")[0] for link in links]

    return of


def test_newest_first_ten_a_page(names):
    assert names() == [f"signs {number:02d}" for number in range(23, 13, -1)]
    assert names(page="3") == ["signs 03", "signs 02", "signs 01"]


def test_search_looks_at_name_and_description(names):
    assert names(search="SIGNS 1", order="name") == [f"signs {number}" for number in range(10, 20)]
    assert names(search="northern") == ["signs 05"]
    assert names(search="nothing like it") == []


def test_filters_and_sorting_work_together(names):
    assert names(status="INVALID") == ["signs 05"]
    assert names(order="name")[0] == "signs 01"
    assert names(order="-name")[0] == "signs 23"


@pytest.mark.parametrize("query", [{"page": "999"}, {"page": "x"}, {"order": "project__appkey"}, {"status": "x"}])
def test_nonsense_in_the_address_is_no_failure(names, query):
    assert names(**query)


def test_rows_and_detail_come_alone_when_htmx_asks_for_them(browser_of, people, project, rows):
    client, url = browser_of(people.viewer), reverse("dataset", args=[project.pk, rows[0].pk])
    whole = client.get(url).content.decode()
    detail = client.get(url, headers={"HX-Request": "true", "HX-Target": "detail"}).content.decode()
    listed = client.get(url, headers={"HX-Request": "true", "HX-Target": "rows"}).content.decode()
    assert '<html lang="en">' in whole
    assert 'id="rows"' in whole
    assert 'id="detail-title"' in whole
    assert "<html" not in detail + listed
    assert 'id="detail-title"' in detail
    assert 'id="rows"' not in detail
    assert 'id="rows"' in listed
    assert 'id="detail-title"' not in listed


def test_what_is_finished_is_not_polled(browser_of, people, project, rows):
    client, url = browser_of(people.viewer), reverse("dataset", args=[project.pk, rows[0].pk])
    assert "data-poll" not in client.get(url).content.decode()
    Dataset.objects.filter(pk=rows[0].pk).update(status="VALIDATING")
    detail = client.get(url, headers={"HX-Request": "true", "HX-Target": "detail"}).content.decode()
    assert "data-poll" in detail


def test_an_empty_project_says_what_to_do_next(browser_of, people, project):
    page = browser_of(people.editor).get(reverse("datasets", args=[project.pk])).content.decode()
    assert reverse("dataset_create", args=[project.pk]) in page
    assert page.count('name="algorithm" value=') == 3  # a sample of each
