"""What a worker runs, called by dotted name."""

from models_registry import build


def model_build(model_id: str) -> None:
    build.build(model_id)
