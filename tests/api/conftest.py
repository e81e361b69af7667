"""Objects in the state that a call needs. They are rows only: what makes them has tests of its own."""

import pytest

from endpoints.models import Endpoint, Stage, StageResource
from models_registry.models import Model
from training.models import Dataset, Training


@pytest.fixture
def dataset(project, people):
    return Dataset.objects.create(
        project=project,
        name="signs",
        algorithm="image_classification",
        status="READY",
        created_by=people.owner,
        counts={"train": {"stop": 3, "yield": 2}},
        images={"train": 5},
        report=[
            {
                "code": "corrupt_image",
                "level": "warning",
                "file": "train/stop/1.png",
                "message": "1.png cannot be read.",
                "text": "%(file)s cannot be read.",
                "params": {"file": "1.png"},
            }
        ],
    )


@pytest.fixture
def training(project, people, dataset, home):
    return Training.objects.create(
        project=project,
        name="first run",
        dataset=dataset,
        dataset_name=dataset.name,
        algorithm=dataset.algorithm,
        status="COMPLETE",
        created_by=people.owner,
        step=40,
        total_steps=40,
        epoch=2.0,
        metrics={"accuracy": 0.9},
        test_metrics={"accuracy": 0.8},
    )


@pytest.fixture
def model(project, people, training):
    return Model.objects.create(
        project=project,
        name="signs v1",
        training=training,
        algorithm=training.algorithm,
        status="ACTIVE",
        created_by=people.owner,
        labels=[{"id": 0, "name": "stop"}, {"id": 1, "name": "yield"}],
        files=[
            {"name": "model.onnx", "bytes": 10, "sha256": "ab"},
            {"name": "model.safetensors", "bytes": 12, "sha256": "cd"},
            {"name": "model.json", "bytes": 2, "sha256": "ef"},
        ],
        export_report={"largest_difference": 1e-6, "equal_predictions": 1.0},
    )


@pytest.fixture
def endpoint(project, people, model):
    """ACTIVE, with an ACTIVE default stage that serves `model`."""
    endpoint = Endpoint.objects.create(project=project, name="signs", status="ACTIVE", created_by=people.owner)
    stage = Stage.objects.create(endpoint=endpoint, name="default", status="ACTIVE")
    StageResource.objects.create(stage=stage, model=model)
    endpoint.default_stage = stage
    endpoint.save()
    return endpoint
