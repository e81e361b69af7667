"""`python -m tests.chaos.stage FOLDER`: serve the model of a folder, in a console that runs. Prints {"path", "key"}."""

import json
import shutil
import sys
from pathlib import Path

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402

from endpoints import services  # noqa: E402
from models_registry.models import Model  # noqa: E402
from training.models import Project, Training  # noqa: E402


def serve(folder: Path) -> dict[str, str]:
    algorithm = json.loads((folder / "model.json").read_text())["algorithm"]
    user, project = User.objects.get(username="admin"), Project.objects.create(name="Soak")
    training = Training.objects.create(project=project, name="soak", algorithm=algorithm, status="COMPLETE")
    model = Model.objects.create(project=project, name="soak", training=training, algorithm=algorithm, status="ACTIVE")
    shutil.copytree(folder, model.folder)
    endpoint, key = services.endpoint_create(project=project, user=user, name="soak", model=model)
    return {"path": endpoint.path, "key": key}


if __name__ == "__main__":
    print(json.dumps(serve(Path(sys.argv[1]))))
