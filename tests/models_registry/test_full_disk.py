"""A model that does not fit on the disk: the reason, and no file left."""

import os

import pytest

from models_registry import build, services
from models_registry.models import Model
from tests.conftest import use_home
from tests.disks import fill, small_disk
from training.algorithms.base import Message


@pytest.fixture
def home(settings, tmp_path):
    with small_disk(tmp_path / "small", "8m") as folder:
        yield use_home(settings, folder)


def test_a_model_that_does_not_fit_fails_with_the_reason_and_leaves_nothing(home, project, user, training):
    folder = training.folder / "model"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(os.urandom(1_000_000))
    model = services.model_create(project=project, user=user, name="pets", training=training)
    fill(home, leave=500_000)
    build.build(model.pk)
    model.refresh_from_db()
    assert model.status == Model.Status.CREATE_FAILED
    assert "disk is full" in str(Message.from_json(model.status_reason))
    assert not list((home / "models").iterdir())


def test_an_export_that_does_not_fit_fails_with_the_reason_and_leaves_nothing(home, project, user, trained_training):
    """Room for the copy of the trained model, and not for its ONNX beside it."""
    model = services.model_create(project=project, user=user, name="pets", training=trained_training)
    size = sum(path.stat().st_size for path in (trained_training.folder / "model").iterdir())
    fill(home, leave=size + 120_000)
    build.build(model.pk)
    model.refresh_from_db()
    assert model.status == Model.Status.CREATE_FAILED
    assert "disk is full" in str(Message.from_json(model.status_reason))
    assert not list((home / "models").iterdir())
