"""What the engines get of the host: their number, their threads, their GPU; and what stands on their command line."""

import json
from pathlib import Path

import pytest

from endpoints import host
from endpoints.fleet import Fleet, memory_limit
from endpoints.places import Place
from endpoints.processes import Order
from models_registry.models import Model

GIB = 1024**3


def model_folder(folder: Path, **preprocessing: int) -> Path:
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps({"preprocessing": preprocessing}))
    return folder


@pytest.mark.parametrize(
    ("size", "cores", "gpus", "engines"),
    [
        (28, 2, 0, 1),
        (28, 8, 0, 2),
        (28, 64, 0, 4),
        (224, 64, 0, 1),  # its network uses all cores itself
        (28, 64, 2, 2),
        (224, 4, 1, 1),
    ],
)
def test_as_many_engines_as_pay(tmp_path, size, cores, gpus, engines):
    assert host.automatic(model_folder(tmp_path / "m", input_size=size), cores, gpus) == engines


def test_a_model_whose_images_keep_their_size_or_that_is_missing_has_one_engine(tmp_path):
    assert host.automatic(model_folder(tmp_path / "m", shortest_edge=800), 64, 0) == 1
    assert host.automatic(tmp_path / "none", 64, 0) == 1


def test_threads_share_the_cores_unless_somebody_decided(settings):
    assert host.threads(1) == host.cores()
    assert host.threads(2 * host.cores()) == 1
    assert host.threads(0) == host.cores()
    settings.SERVING_THREADS = 3
    assert host.threads(8) == 3


def test_engines_spread_over_the_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert [host.least_used_gpu(used) for used in ([], ["4"], ["4", "6"], ["6", "4", "4"])] == ["4", "6", "4", "6"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert host.least_used_gpu([]) == ""


def test_command_line_of_an_engine(monkeypatch, home):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    model = Model(name="cats")
    order = Order(Place("abc", 3, 1), model, "/inference", threads=2)
    words = order.command()
    assert words[words.index("--socket") + 1].endswith("/abc-3-1.sock")
    assert words[words.index("--threads") + 1] == "2"
    assert not {"--batch-size", "--batch-window-ms"} & set(words), "measured, when nobody chose"
    assert order.environment()["CUDA_VISIBLE_DEVICES"] == "4,6"
    chosen = Order(Place("abc", 3, 1), model, "/inference", 2, gpu="6", batch_size=8, batch_window_ms=0.0)
    assert chosen.command()[-4:] == ["--batch-size", "8", "--batch-window-ms", "0.0"]
    assert chosen.environment()["CUDA_VISIBLE_DEVICES"] == "6"


def test_place_of_a_socket():
    assert Place.of("abc-3-1.sock") == ("abc", 3, 1)
    assert Place.of("abc.sock") == ("abc", 0, 0)
    assert Place.of("abc-3.sock") is None
    assert Place.of("routes.json") is None


def test_memory_that_an_engine_may_take(settings):
    assert memory_limit(200 * 1024**2) == 2 * GIB
    assert memory_limit(GIB) == 4 * GIB
    settings.STAGE_ENGINE_MEMORY_BYTES = 5
    assert memory_limit(GIB) == 5


@pytest.mark.django_db(transaction=True)
def test_a_deployment_that_is_only_kept_keeps_its_own_batches(stage, people):
    resource = stage.resources.get()
    resource.settings = {"deployment": 1, "batch_size": 4, "batch_window_ms": 1.5}
    resource.deployment, resource.batch_size = 2, 16
    fleet = Fleet()
    kept, coming = (fleet.order(resource, deployment) for deployment in (1, 2))
    assert (kept.batch_size, kept.batch_window_ms) == (4, 1.5)
    assert (coming.batch_size, coming.batch_window_ms) == (16, None)
