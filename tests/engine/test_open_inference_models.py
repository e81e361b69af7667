"""The Open Inference Protocol from live engines with trained models: its answers are the guide's, as tensors."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from endpoints.engine.model import ServedModel
from tests.exported import Engine, UnixConnection, engine, exported
from tests.runs import picture

ALGORITHMS = ["image_classification", "semantic_segmentation", "object_detection"]


@pytest.fixture(params=ALGORITHMS)
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Engine, ServedModel]]:
    with engine(exported(request.param), tmp_path) as running:
        running.wait_ready(90)
        yield running, ServedModel(exported(request.param))


def images() -> list[Image.Image]:
    """Two of one size, as a tensor of pixels needs them, and not square."""
    return [picture(number)[0].resize((96, 64)) for number in range(2)]


def base64_png(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def infer(running: Engine, name: str, datatype: str, array: np.ndarray, **more) -> dict[str, np.ndarray]:
    """Numbers are sent as binary data. -> the answer's tensors by name; of BYTES, strings."""
    tensor = {"name": name, "datatype": datatype, "shape": list(array.shape)}
    binary = b"" if datatype == "BYTES" else array.tobytes()
    tensor |= {"parameters": {"binary_data_size": len(binary)}} if binary else {"data": array.tolist()}
    text = json.dumps({"inputs": [tensor], **more}).encode()
    connection = UnixConnection(running.path)
    headers = {"Inference-Header-Content-Length": str(len(text))}
    connection.request("POST", "/v2/models/shapes/infer", text + binary, headers)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    assert response.status == 200, body
    return {entry["name"]: np.array(entry["data"]).reshape(entry["shape"]) for entry in body["outputs"]}


def as_tensors(algorithm: str, answers: list) -> dict[str, np.ndarray]:
    """The guide's answers as the tensors that are expected of them."""
    if algorithm == "semantic_segmentation":
        return {"mask": np.array(answers)}
    if algorithm == "image_classification":
        return {key + "s": np.array([[row[key] for row in rows] for rows in answers]) for key in ("label", "score")}
    boxes = [(label, box) for found in answers for entry in found for label, box in entry.items()]
    return {
        "labels": np.array([label for label, _ in boxes]),
        "scores": np.array([box["score"] for _, box in boxes]),
        "boxes": np.array([[box[side] for side in ("xmin", "ymin", "xmax", "ymax")] for _, box in boxes]),
        "counts": np.array([len(found) for found in answers]),
    }


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        (np.allclose(one[name], other[name]) if name == "scores" else np.array_equal(one[name], other[name]))
        for name in one
    )


def test_tensors_are_the_guides_answers_whichever_way_the_images_come(served: tuple[Engine, ServedModel]):
    running, model = served
    algorithm = model.manifest["algorithm"]
    parameters = {"threshold": 0.0} if algorithm == "object_detection" else {}
    files = np.array([base64_png(image) for image in images()])
    guide = {"instances": [{"data": text} for text in files.tolist()], "parameters": {**parameters}}
    if parameters:
        guide["parameters"]["scores"] = True
    expected = as_tensors(algorithm, running.call("POST", "/v1/models/shapes/predict", guide)[1]["predictions"])
    assert all(len(values) for values in expected.values())
    assert equal(infer(running, "image", "BYTES", files, parameters=parameters), expected)
    pixels = np.stack([np.asarray(image) for image in images()])
    assert equal(infer(running, "pixels", "UINT8", pixels, parameters=parameters), expected)


def test_network_takes_what_the_caller_preprocessed(served: tuple[Engine, ServedModel]):
    running, model = served
    prepared = np.stack([model.predict.preprocess(image, model.manifest["preprocessing"]) for image in images()])
    files = np.array([base64_png(image) for image in images()])
    raw = infer(running, "pixel_values", "FP32", prepared)
    names = [{"name": entry["name"]} for entry in model.tensors["outputs"]]
    assert list(raw) == [entry["name"] for entry in names]
    for name, values in infer(running, "image", "BYTES", files, outputs=names).items():
        assert values.shape[0] == 2
        np.testing.assert_allclose(raw[name], values, rtol=1e-5, atol=1e-5)


def test_metadata_says_what_the_answer_is(served: tuple[Engine, ServedModel]):
    running, _ = served
    metadata = running.call("GET", "/v2/models/shapes")[1]
    files = [base64_png(image) for image in images()]
    tensor = {"name": metadata["inputs"][0]["name"], "datatype": "BYTES", "shape": [2], "data": files}
    asked = [{"name": entry["name"]} for entry in metadata["outputs"]]
    outputs = running.call("POST", "/v2/models/shapes/infer", {"inputs": [tensor], "outputs": asked})[1]["outputs"]
    for entry, promised in zip(outputs, metadata["outputs"], strict=True):
        assert (entry["name"], entry["datatype"]) == (promised["name"], promised["datatype"])
        assert [-1 if want == -1 else side for side, want in zip(entry["shape"], promised["shape"], strict=True)] == (
            promised["shape"]
        )
