"""The Open Inference Protocol as a client meets it, with a toy detector that finds one box in every image."""

import base64
import json
import struct

import numpy as np
import pytest

from tests.engine.asgi import GOOD, b64, png

INFER = "/v2/models/shapes/infer"
HEADER = "inference-header-content-length"
IMAGE = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [GOOD["data"]]}
PIXELS = {"name": "pixels", "datatype": "UINT8", "shape": [1, 2, 4, 3], "data": [0] * 24}
NETWORK = {"name": "pixel_values", "datatype": "FP32", "shape": [1, 3, 8, 8], "data": [0.5] * 192}


def call(body, binary=b"", path=INFER, **headers):
    """Send JSON and what belongs behind it, as tritonclient does."""
    text = json.dumps(body).encode()
    given = {**({HEADER: str(len(text))} if binary else {"content-type": "application/json"}), **headers}
    return lambda client: client.exchange("POST", path, [text, binary], given)


def outputs(answer, header=None):
    """The tensors of an answer: name -> (datatype, shape, flat list)."""
    length = int(header or len(answer))
    body, at, found = json.loads(answer[:length]), length, {}
    for entry in body["outputs"]:
        values = entry.get("data")
        if values is None:
            size = entry["parameters"]["binary_data_size"]
            values = unpacked(answer[at : at + size], entry["datatype"])
            at += size
        found[entry["name"]] = (entry["datatype"], entry["shape"], values)
    assert at == len(answer)
    return found


def unpacked(binary, datatype):
    if datatype != "BYTES":
        return np.frombuffer(binary, {"INT32": "<i4", "FP32": "<f4"}[datatype]).tolist()
    texts = []
    while binary:
        (length,) = struct.unpack_from("<I", binary)
        texts.append(binary[4 : 4 + length].decode())
        binary = binary[4 + length :]
    return texts


def packed(*elements):
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def binary(tensor, size):
    return {**{k: v for k, v in tensor.items() if k != "data"}, "parameters": {"binary_data_size": size}}


BOXES = {
    "boxes": ("INT32", [2, 4], [10, 5, 30, 15] * 2),
    "labels": ("BYTES", [2], ["balloon"] * 2),
    "scores": ("FP32", [2], [pytest.approx(0.9525741)] * 2),
    "counts": ("INT32", [2], [1, 1]),
}
RAW = {"logits": ("FP32", [1, 1, 2], [3.0, 0.0]), "pred_boxes": ("FP32", [1, 1, 4], [0.5] * 4)}


@pytest.mark.parametrize("path", [INFER, "/v2/models/shapes/versions/1/infer"])
@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_images_in_json(ask, path, shape):
    body = {"id": "a7", "inputs": [{**IMAGE, "shape": shape, "data": IMAGE["data"] * 2}]}
    status, answer, _ = ask(call(body, path=path))
    found = json.loads(answer)
    assert status == 200
    assert (found["model_name"], found["model_version"], found["id"]) == ("shapes", "1", "a7")
    assert outputs(answer) == BOXES


def test_answer_has_no_id_when_the_request_has_none(ask):
    assert set(json.loads(ask(call({"inputs": [IMAGE]}))[1])) == {"model_name", "model_version", "outputs"}


@pytest.mark.parametrize("elements", [[png(), png()], [base64.encodebytes(png()), GOOD["data"].encode()]])
def test_images_as_binary_data_are_files_or_their_base64(ask, elements):
    data = packed(*elements)
    status, answer, headers = ask(call({"inputs": [binary({**IMAGE, "shape": [2]}, len(data))]}, data))
    assert (status, headers["content-type"], HEADER in headers) == (200, "application/json", False)
    assert outputs(answer) == BOXES


def test_pixels_and_the_networks_own_input_nested_flat_and_binary(ask):
    cases = [(PIXELS, np.zeros((1, 2, 4, 3), np.uint8)), (NETWORK, np.full((1, 3, 8, 8), 0.5, np.float32))]
    for tensor, array in cases:
        flat = ask(call({"inputs": [tensor]}))
        nested = ask(call({"inputs": [{**tensor, "data": array.tolist()}]}))
        sent = ask(call({"inputs": [binary(tensor, array.nbytes)]}, array.tobytes()))
        assert flat == nested == sent
        assert flat[0] == 200
        assert set(outputs(flat[1])) == set(RAW if tensor is NETWORK else BOXES)
    assert outputs(flat[1]) == RAW


def test_outputs_are_chosen_by_name_each_as_json_or_as_binary_data(ask):
    wanted = [
        {"name": "scores", "parameters": {"binary_data": True}},
        {"name": "logits", "parameters": {"binary_data": False}},
        {"name": "labels"},
    ]
    status, answer, headers = ask(call({"inputs": [IMAGE], "outputs": wanted}))
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    found = outputs(answer, headers[HEADER])
    assert list(found) == ["scores", "logits", "labels"]
    assert found["logits"] == RAW["logits"]
    everything = {"inputs": [IMAGE], "outputs": wanted, "parameters": {"binary_data_output": True}}
    _, answer, headers = ask(call(everything))
    assert outputs(answer, headers[HEADER]) == found
    assert [("data" in entry) for entry in json.loads(answer[: int(headers[HEADER])])["outputs"]] == [
        False,
        True,
        False,
    ]


def test_network_input_can_be_answered_with_boxes_in_its_own_pixels(ask):
    answer = ask(call({"inputs": [NETWORK], "outputs": [{"name": "boxes"}, {"name": "counts"}]}))[1]
    assert outputs(answer) == {"boxes": ("INT32", [1, 4], [2, 2, 6, 6]), "counts": ("INT32", [1], [1])}


def test_parameters_of_the_guide_apply_and_no_box_is_an_answer(ask):
    body = {"inputs": [IMAGE], "parameters": {"threshold": 1, "binary_data_output": True}}
    _, answer, headers = ask(call(body))
    found = outputs(answer, headers[HEADER])
    assert [found[name][1:] for name in ("boxes", "labels", "counts")] == [([0, 4], []), ([0], []), ([1], [0])]


def test_request_may_come_as_octet_stream_without_binary_data(ask):
    assert ask(call({"inputs": [IMAGE]}, **{"content-type": "application/octet-stream"}))[0] == 200


def test_metadata(ask):
    async def scenario(client):
        paths = (
            "/v2",
            "/v2/models",
            "/v2/models/shapes",
            "/v2/models/shapes/versions/1",
            "/v2/models/shapes/versions/2",
        )
        ready = "/v2/models/shapes/versions/1/ready"
        return [await client.request("GET", path) for path in (*paths, ready)]

    server, models, model, version, unknown, ready = ask(scenario)
    assert server[1] == {"name": "console", "version": "1", "extensions": ["binary_tensor_data"]}
    assert models[1] == {"models": ["shapes"]}
    assert model[1] == version[1]
    assert (model[1]["name"], model[1]["versions"]) == ("shapes", ["1"])
    tensors = {entry["name"]: (entry["datatype"], entry["shape"]) for entry in model[1]["inputs"] + model[1]["outputs"]}
    assert tensors == {
        "image": ("BYTES", [-1]),
        "pixels": ("UINT8", [-1, -1, -1, 3]),
        "pixel_values": ("FP32", [-1, 3, -1, -1]),
        "boxes": ("INT32", [-1, 4]),
        "labels": ("BYTES", [-1]),
        "scores": ("FP32", [-1]),
        "counts": ("INT32", [-1]),
        "logits": ("FP32", [-1, 1, 2]),
        "pred_boxes": ("FP32", [-1, 1, 4]),
    }
    assert (unknown[0], unknown[1]["code"]) == (404, "not_found")
    assert ready[:2] == (200, {"name": "shapes", "ready": True})


def changed(tensor, **changes):
    return {"inputs": [{**tensor, **changes}]}


REFUSED = [
    ([], "invalid_instances", "inputs"),
    ({}, "invalid_tensor", "inputs"),
    ({"inputs": [IMAGE, PIXELS]}, "invalid_tensor", "inputs"),
    ({"inputs": [7]}, "invalid_tensor", "inputs[0]"),
    ({"inputs": [IMAGE], "id": 7}, "invalid_request", "id"),
    (changed(IMAGE, name="picture"), "invalid_tensor", "inputs[0].name"),
    (changed(IMAGE, name=["image"]), "invalid_tensor", "inputs[0].name"),
    (changed(IMAGE, datatype="FP32"), "invalid_tensor", "inputs[0].datatype"),
    (changed(IMAGE, shape=[1, 2]), "invalid_tensor", "inputs[0].shape"),
    (changed(IMAGE, shape=[0], data=[]), "invalid_tensor", "inputs[0].shape"),
    (changed(IMAGE, shape=[True]), "invalid_tensor", "inputs[0].shape"),
    (changed(IMAGE, shape=[2**70]), "invalid_tensor", "inputs[0].shape"),
    (changed(IMAGE, shape=[2]), "invalid_tensor", "inputs[0].data"),
    (changed(IMAGE, data=None), "invalid_tensor", "inputs[0].data"),
    (changed(IMAGE, data=[7]), "invalid_tensor", "inputs[0].data"),
    (changed(IMAGE, shape=[2], data=[[GOOD["data"]], GOOD["data"]]), "invalid_tensor", "inputs[0].data"),
    (changed(IMAGE, shape=[2], data=[GOOD["data"], "?"]), "not_base64", "inputs[0].data[1]"),
    (changed(IMAGE, data=[b64(b"no image")]), "not_an_image", "inputs[0].data[0]"),
    (changed(PIXELS, shape=[1, 2, 3, 4]), "invalid_tensor", "inputs[0].shape"),
    (changed(PIXELS, data=[-1] * 24), "invalid_tensor", "inputs[0].data"),
    (changed(PIXELS, data=[256] * 24), "invalid_tensor", "inputs[0].data"),
    (changed(PIXELS, data=[1.5] * 24), "invalid_tensor", "inputs[0].data"),
    (changed(PIXELS, data=[0] * 23), "invalid_tensor", "inputs[0].data"),
    (changed(NETWORK, data=["0.5"] * 192), "invalid_tensor", "inputs[0].data"),
    (changed(NETWORK, data=[True] * 192), "invalid_tensor", "inputs[0].data"),
    (changed(NETWORK, data=[1e300] * 192), "invalid_tensor", "inputs[0].data"),
    (changed(NETWORK, shape=[1, 3, 1, 65], data=[0] * 195), "invalid_tensor", "inputs[0].shape"),
    (changed(NETWORK, shape=[1, 1, 8, 24]), "invalid_tensor", "inputs[0].shape"),
    (changed(IMAGE, parameters={"binary_data_size": 8}), "invalid_tensor", "inputs[0].data"),
    (changed(IMAGE, parameters=7), "invalid_tensor", "inputs[0].parameters"),
    ({"inputs": [IMAGE], "outputs": 7}, "invalid_tensor", "outputs"),
    ({"inputs": [IMAGE], "outputs": ["boxes"]}, "invalid_tensor", "outputs[0].name"),
    ({"inputs": [IMAGE], "outputs": [{"name": "masks"}]}, "invalid_tensor", "outputs[0].name"),
    ({"inputs": [IMAGE], "outputs": [{"name": "boxes"}] * 2}, "invalid_tensor", "outputs[1].name"),
]
UNPROCESSABLE = [
    ({"inputs": [IMAGE], "parameters": {"sequence_id": 3}}, "unknown_parameter", "parameters.sequence_id"),
    ({"inputs": [IMAGE], "parameters": {"threshold": 2}}, "invalid_parameter", "parameters.threshold"),
    (
        {"inputs": [IMAGE], "parameters": {"binary_data_output": 1}},
        "invalid_parameter",
        "parameters.binary_data_output",
    ),
    ({"inputs": [IMAGE], "parameters": []}, "invalid_parameter", "parameters"),
    (
        changed(IMAGE, parameters={"shared_memory_region": "x"}),
        "unknown_parameter",
        "inputs[0].parameters.shared_memory_region",
    ),
    (
        {"inputs": [IMAGE], "outputs": [{"name": "boxes", "parameters": {"classification": 3}}]},
        "unknown_parameter",
        "outputs[0].parameters.classification",
    ),
]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [(body, 400, code, field) for body, code, field in REFUSED]
    + [(body, 422, code, field) for body, code, field in UNPROCESSABLE],
)
def test_bad_input_is_refused_by_name_in_the_protocols_own_form(ask, body, status, code, field):
    got, answer, headers = ask(call(body))
    error = json.loads(answer)
    assert (got, error["code"], list(error["fields"])) == (status, code, [field])
    assert error["error"].startswith(f"{field}: ")
    assert headers["content-type"] == "application/json"


def test_tensor_of_very_many_images_is_refused_before_any_is_looked_at(ask, toy):
    data = bytes(10_001 * 3)
    status, answer, _ = ask(call({"inputs": [binary({**PIXELS, "shape": [10_001, 1, 1, 3]}, len(data))]}, data))
    assert (status, json.loads(answer)["code"], toy.images) == (413, "too_many_instances", 0)


FOUR = packed(b"1234")
BINARY = [
    ({}, {HEADER: "9999"}, b"1", HEADER),
    ({}, {HEADER: "-1"}, b"1", HEADER),
    ({}, {HEADER: "two"}, b"1", HEADER),
    ({"inputs": [IMAGE]}, {}, b"1", "inputs[0].parameters.binary_data_size"),
    ({"inputs": [binary(IMAGE, 9)]}, {}, FOUR, "inputs[0].parameters.binary_data_size"),
    ({"inputs": [binary(IMAGE, -8)]}, {}, FOUR, "inputs[0].parameters.binary_data_size"),
    ({"inputs": [binary(IMAGE, "8")]}, {}, FOUR, "inputs[0].parameters.binary_data_size"),
    ({"inputs": [binary({**IMAGE, "shape": [2]}, 8)]}, {}, FOUR, "inputs[0].data"),
    ({"inputs": [binary(IMAGE, 7)]}, {}, FOUR[:-1], "inputs[0].data"),
    ({"inputs": [binary(IMAGE, 3)]}, {}, FOUR[:3], "inputs[0].data"),
    ({"inputs": [binary(PIXELS, 8)]}, {}, FOUR, "inputs[0].data"),
    ({"inputs": [binary(NETWORK, 768)]}, {}, np.full(192, np.nan, "<f4").tobytes(), "inputs[0].data"),
    ({"inputs": [binary(IMAGE, 8)]}, {}, FOUR, "inputs[0].data[0]"),
]


@pytest.mark.parametrize(("body", "headers", "data", "field"), BINARY)
def test_bad_binary_data_are_refused_by_name(ask, body, headers, data, field):
    status, answer, _ = ask(call(body, data, **headers))
    error = json.loads(answer)
    assert (status, list(error["fields"])) == (400, [field])
    assert error["code"] == (
        "not_an_image" if field.endswith("]") else "invalid_request" if field == HEADER else "invalid_tensor"
    )
