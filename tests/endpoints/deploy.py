"""`python -m tests.endpoints.deploy create NAME|redeploy ID|delete ID|status ID`: what a person does in the console,
for a console that runs as processes of its own. Prints one JSON object."""

import json
import sys
from typing import Any

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402

from endpoints import services  # noqa: E402
from endpoints.models import Endpoint, Stage  # noqa: E402
from tests.endpoints.colours import colour_model  # noqa: E402
from training.models import Project  # noqa: E402


def create(name: str) -> dict[str, Any]:
    user, _ = User.objects.get_or_create(username="owner")
    project, _ = Project.objects.get_or_create(name="Colours")
    model = colour_model(project, name)
    endpoint, key = services.endpoint_create(project=project, user=user, name=name, model=model)
    stage = endpoint.default_stage
    assert stage is not None
    stage.resources.update(replicas=1)  # whatever the host has
    return {"id": endpoint.pk, "path": endpoint.path, "key": key, "resource": stage.resources.get().pk}


def redeploy(endpoint_id: str) -> dict[str, Any]:
    services.stage_redeploy(stage=Stage.objects.get(endpoint=endpoint_id), user=User.objects.get())
    return {}


def delete(endpoint_id: str) -> dict[str, Any]:
    endpoint = Endpoint.objects.get(pk=endpoint_id)
    services.endpoint_delete(endpoint=endpoint, user=User.objects.get())
    return {}


def status(endpoint_id: str) -> dict[str, Any]:
    stage = Stage.objects.filter(endpoint=endpoint_id).first()
    if stage is None:
        return {"status": "gone"}
    moves = stage.endpoint.events().model.objects.filter(kind="stage", object_id=stage.pk).order_by("id")
    return {"status": stage.status, "moves": list(moves.values_list("to_status", flat=True))}


if __name__ == "__main__":
    orders = {"create": create, "redeploy": redeploy, "delete": delete, "status": status}
    print(json.dumps(orders[sys.argv[1]](sys.argv[2])))
