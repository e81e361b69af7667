"""`python -m tests.reliability.stage_race`: calls of stages are counted while the stages are deleted. Prints the errors
that one or the other met, as a JSON list. For a database of its own, with rows that lock each other (PostgreSQL)."""

import json
import threading

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from endpoints import services, statistics  # noqa: E402
from endpoints.models import Stage  # noqa: E402
from tests.endpoints.colours import colour_model  # noqa: E402
from training.models import Project  # noqa: E402

STAGES = 15
errors: list[str] = []


def count(stage_id: str, stop: threading.Event) -> None:
    while not stop.is_set():
        call = statistics.Call(stage_id=stage_id, at=timezone.now(), path="/inference", status=200, milliseconds=5)
        try:
            statistics.write([call] * 20)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
    connection.close()


def main() -> None:
    call_command("migrate", verbosity=0)
    user, project = User.objects.create(username="owner"), Project.objects.create(name="Colours")
    model = colour_model(project)
    for number in range(STAGES):
        endpoint, _key = services.endpoint_create(project=project, user=user, name=f"e{number}", model=model)
        stage, stop = endpoint.default_stage, threading.Event()
        counting = threading.Thread(target=count, args=[stage.pk, stop])
        counting.start()
        stop.wait(0.1)
        services.endpoint_delete(endpoint=endpoint, user=user)
        try:
            services.stage_remove(stage=Stage.objects.select_related("endpoint").get(pk=stage.pk))
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
        stop.set()
        counting.join()
    print(json.dumps(errors))


if __name__ == "__main__":
    main()
