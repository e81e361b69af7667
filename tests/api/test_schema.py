"""The OpenAPI document and its page."""

import io
import re

import pytest
import yaml
from django.core.management import call_command

CALLS = {
    "/api/v1/algorithms/": {"get"},
    "/api/v1/datasets/": {"get", "post"},
    "/api/v1/datasets/{id}/": {"get", "delete"},
    "/api/v1/trainings/": {"get", "post"},
    "/api/v1/trainings/{id}/": {"get", "delete"},
    "/api/v1/trainings/{id}/stop/": {"post"},
    "/api/v1/trainings/{id}/resume/": {"post"},
    "/api/v1/trainings/{id}/log/": {"get"},
    "/api/v1/trainings/{id}/metrics/": {"get"},
    "/api/v1/trainings/{id}/events/": {"get"},
    "/api/v1/models/": {"get", "post"},
    "/api/v1/models/{id}/": {"get", "delete"},
    "/api/v1/endpoints/": {"get", "post"},
    "/api/v1/endpoints/{id}/": {"get", "delete"},
    "/api/v1/endpoints/{id}/stages/": {"post"},
    "/api/v1/endpoints/{id}/default-stage/": {"post"},
    "/api/v1/stages/{id}/": {"get", "delete"},
    "/api/v1/stages/{id}/statistics/": {"get"},
}


@pytest.fixture(scope="module")
def document():
    """Generated with every warning turned into a failure, and checked against OpenAPI's own schema."""
    out = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    return yaml.safe_load(out.getvalue())


def test_it_has_every_call(document):
    for path, methods in CALLS.items():
        assert methods <= set(document["paths"][path]), path


def test_ids_are_strings_and_every_call_may_answer_with_the_error_shape(document):
    schemas = document["components"]["schemas"]
    for name in ("Project", "Dataset", "Training", "Model", "Endpoint", "Stage"):
        assert schemas[name]["properties"]["id"]["type"] == "string", name
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            reference = operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"]
            assert reference == "#/components/schemas/Error", (path, method)
    assert schemas["Error"]["properties"]["error"]["required"] == ["code", "message", "fields"]


def test_lists_name_their_parameters(document):
    named = {parameter["name"] for parameter in document["paths"]["/api/v1/trainings/"]["get"]["parameters"]}
    assert {"page", "page_size", "search", "ordering", "project", "status", "dataset", "experiment"} <= named


def test_the_page_runs_under_a_policy_of_own_scripts_only(client, db):
    """No inline script and nothing from another host: the console's policy is default-src 'self'."""
    page = client.get("/api/v1/docs/")
    assert page.status_code == 200
    html = page.content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    sources = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(sources) >= 3
    assert not [source for source in sources if "//" in source]
    script = client.get("/api/v1/docs/?script=")
    assert script.headers["Content-Type"].startswith("application/javascript")
    assert client.get("/api/v1/schema/").status_code == 200
