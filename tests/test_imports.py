"""Who may import what. The layering contracts run here too, so that `make test` alone shows a breach."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from console import settings

HEAVY = ("torch", "transformers", "accelerate", "onnxruntime", "openvino", "onnx", "tensorboard")


def loaded_after(statement: str, names: tuple[str, ...]) -> list[str]:
    """The modules of `names` that a fresh interpreter has loaded once it ran `statement`."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps([n for n in {names!r} if n in sys.modules]))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.BASE_DIR, capture_output=True, text=True, check=True, timeout=120
    )
    loaded: list[str] = json.loads(result.stdout.strip().splitlines()[-1])
    return loaded


def test_web_process_never_imports_the_heavy_libraries():
    serve = (
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'\n"
        "import console.asgi\n"
        "from django.urls import get_resolver; get_resolver().url_patterns\n"
        "from django.test import Client; Client().get('/')\n"
    )
    assert loaded_after(serve, HEAVY) == []


@pytest.mark.parametrize("algorithm", ["image_classification", "semantic_segmentation", "object_detection"])
def test_engine_imports_neither_django_nor_torch(algorithm):
    serve = (
        "import endpoints.engine.server, endpoints.engine.runtimes, endpoints.engine.protocols\n"
        f"from training import algorithms; algorithms.part({algorithm!r}, 'predict')\n"
    )
    assert loaded_after(serve, ("django", "torch", "transformers")) == []


def test_imports_point_one_way():
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout


def test_trainer_never_imports_django():
    assert loaded_after("import training.trainer.__main__", ("django",)) == []


def test_the_benchmarks_can_be_started():
    """`make bench` takes an hour: what it imports is all that is tried here."""
    assert loaded_after("import benchmarks.__main__, benchmarks.runtimes, benchmarks.served_accuracy", ("torch",))
