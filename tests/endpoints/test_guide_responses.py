"""The guide's request, byte for byte, and its three response shapes, from live engines with trained models."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.exported import Engine, UnixConnection, engine, exported
from tests.runs import picture


def input_json(*images: Path) -> str:
    """What the guide's script writes: base64, indented by 4, keys sorted. With one image it is exactly its file."""
    instances = [{"data": base64.b64encode(path.read_bytes()).decode("utf-8")} for path in images]
    return json.dumps({"instances": instances}, indent=4, sort_keys=True)


def post(running: Engine, body: str, path: str = "/inference") -> object:
    connection = UnixConnection(running.path)
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    answer = json.loads(response.read())
    connection.close()
    return answer


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Two images of different sizes, the second not square and a JPEG."""
    first, second = tmp_path / "1.png", tmp_path / "2.jpg"
    picture(0)[0].save(first)
    picture(1)[0].resize((200, 120)).save(second)
    return [first, second]


@pytest.fixture
def serve(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    with engine(exported(request.param), tmp_path) as running:
        running.wait_ready(90)
        yield running


@pytest.mark.parametrize("serve", ["image_classification"], indirect=True)
def test_classification(serve: Engine, images: list[Path]):
    answer = post(serve, input_json(images[0]))
    assert [set(item) for item in answer] == [{"score", "label"}] * 2
    assert {item["label"] for item in answer} == {"circle", "square"}
    scores = [item["score"] for item in answer]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1)
    several = post(serve, input_json(images[0], images[1], images[0]))
    assert [len(item) for item in several] == [2, 2, 2]
    assert several[0] == several[2] == [{**item, "score": pytest.approx(item["score"])} for item in answer]
    assert post(serve, input_json(*images), "/v1/models/shapes/predict")["predictions"] == several[:2]


@pytest.mark.parametrize("serve", ["semantic_segmentation"], indirect=True)
def test_segmentation(serve: Engine, images: list[Path]):
    for count in (1, 2):
        answer = post(serve, input_json(*images[:count]))
        assert list(answer) == ["predictions"]
        assert len(answer["predictions"]) == count
        for grid in answer["predictions"]:
            assert [len(row) for row in grid] == [512] * 512
            assert {pixel for row in grid for pixel in row} <= {0, 3, 7}
    body = {**json.loads(input_json(images[1])), "parameters": {"format": "png"}}
    (encoded,) = post(serve, json.dumps(body))["predictions"]
    (folder := images[0].parent / "map.png").write_bytes(base64.b64decode(encoded))
    with Image.open(folder) as png:
        assert png.size == (512, 512)
        assert list(png.get_flattened_data()) == [pixel for row in answer["predictions"][1] for pixel in row]


@pytest.mark.parametrize("serve", ["object_detection"], indirect=True)
def test_detection(serve: Engine, images: list[Path]):
    body = {**json.loads(input_json(*images)), "parameters": {"threshold": 0.0}}
    answer = post(serve, json.dumps(body))
    assert list(answer) == ["predictions"]
    assert len(answer["predictions"]) == 2
    for boxes, path in zip(answer["predictions"], images, strict=True):
        width, height = Image.open(path).size
        assert boxes
        for box in boxes:
            (label,) = box
            assert label in {"circle", "square"}
            corners = box[label]
            assert list(corners) == ["xmin", "ymin", "xmax", "ymax"]
            assert all(type(value) is int for value in corners.values())
            assert 0 <= corners["xmin"] <= corners["xmax"] <= width
            assert 0 <= corners["ymin"] <= corners["ymax"] <= height
    scored = post(serve, json.dumps({**body, "parameters": {"threshold": 0.0, "scores": True}}))["predictions"][0]
    scores = [next(iter(box.values()))["score"] for box in scored]
    assert scores == sorted(scores, reverse=True)
    stored = json.loads((exported("object_detection") / "model.json").read_text())["threshold"]
    default = post(serve, input_json(images[0]))["predictions"][0]
    assert len(default) == sum(score >= stored for score in scores)
