"""The OpenAPI document and its page."""

import io
import re
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from jsonschema import Draft202012Validator

from training import lifecycle

CALLS = {
    "/api/v1/algorithms/": {"get"},
    "/api/v1/datasets/": {"get", "post"},
    "/api/v1/datasets/{id}/": {"get", "delete"},
    "/api/v1/datasets/{id}/mend/": {"post"},
    "/api/v1/datasets/{id}/check/": {"post"},
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


def strict(schema: Any) -> Any:
    """OpenAPI 3.0 as JSON schema: `nullable` spelt out, and nothing allowed that the document does not name."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: strict(part) for name, part in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        schema.setdefault("additionalProperties", False)
    return {"anyOf": [schema, {"type": "null"}]} if schema.pop("nullable", False) else schema


def test_real_answers_are_as_documented(document, api, people, project, training, model, endpoint):
    """Also when what may be missing is: no experiment, no creator, nobody who caused the event."""
    lifecycle.record(training, "checkpoint")
    type(training).objects.update(created_by=None)
    stage = endpoint.default_stage_id
    ids = {
        "trainings": training.pk,
        "models": model.pk,
        "endpoints": endpoint.pk,
        "stages": stage,
        "projects": project.pk,
    }
    ids["datasets"] = training.dataset_id
    client, components, seen = api(people.viewer), strict(document["components"]), 0
    for path, operations in document["paths"].items():
        area = path.split("/")[3]
        content = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        if "application/json" not in content or ("{id}" in path and area not in ids):
            continue
        answer = client.get(path.replace("{id}", ids.get(area, "")).replace("{key}", "object_detection"))
        schema = strict(content["application/json"]["schema"]) | {"components": components}
        wrong = [f"{list(e.path)}: {e.message}" for e in Draft202012Validator(schema).iter_errors(answer.json())]
        assert (answer.status_code, wrong) == (200, []), path
        seen += 1
    assert seen >= 18


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
