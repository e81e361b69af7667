"""The guide's request in its other forms: an image file as it is, a form, a compressed body. The network is a toy."""

import gzip
import json
import zlib

import pytest

from endpoints.engine.bodies import MAX_BODY, one_image
from tests.engine.asgi import BOX, GOOD, Client, form, png

JSON = {"content-type": "application/json"}
ONE = json.dumps({"instances": [GOOD]}).encode()


def post(headers, body, path="/inference"):
    return lambda client: client.request("POST", path, [body], headers)


@pytest.mark.parametrize("path", ["/inference", "", "/"])
@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg; q=1", "application/octet-stream", "IMAGE/PNG"])
def test_image_file_is_answered_like_one_instance(ask, path, media_type):
    assert ask(post({"content-type": media_type}, png(), path))[:2] == (200, {"predictions": [[BOX]]})


@pytest.mark.parametrize("fields", [["file"], ["image"], ["images", "images"], ["image", "file", "images"]])
def test_files_of_a_form_are_answered_like_instances(ask, fields):
    status, body, _ = ask(post(*form(*((field, png()) for field in fields))))
    assert (status, body) == (200, {"predictions": [[BOX]] * len(fields)})


def test_form_may_bring_parameters(ask):
    _, body, _ = ask(post(*form(("parameters", b'{"scores": true}'), ("image", png()))))
    assert body["predictions"][0][0]["balloon"]["score"] == pytest.approx(0.9525741)
    assert ask(post(*form(("image", png()), ("parameters", b'{"threshold": 1}'))))[1] == {"predictions": [[]]}


def test_compressed_bodies_are_unpacked(ask):
    for encoding, body in (("gzip", gzip.compress(ONE)), ("deflate", zlib.compress(ONE)), ("identity", ONE)):
        for path in ("/inference", "/v1/models/shapes/predict"):
            assert ask(post({**JSON, "content-encoding": encoding}, body, path))[1] == {"predictions": [[BOX]]}
    headers, body = form(("image", png()))
    assert ask(post({**headers, "content-encoding": "gzip"}, gzip.compress(body)))[0] == 200


def packed(body, encoding="gzip"):
    return {**JSON, "content-encoding": encoding}, body


FORM = {"content-type": "multipart/form-data; boundary=limit"}
REFUSED = [
    (({"content-type": "image/png"}, b""), 400, "not_an_image", "body"),
    (({"content-type": "image/png"}, png()[:50]), 400, "not_an_image", "body"),
    (({"content-type": "application/octet-stream"}, ONE), 400, "not_an_image", "body"),
    (form(("image", png()), ("images", b"no image")), 400, "not_an_image", "images[1]"),
    (form(("picture", png())), 400, "invalid_form", "picture"),
    (form(), 400, "invalid_form", "image"),
    (form(("parameters", b"{}")), 400, "invalid_form", "image"),
    (form(("image", png()), ("parameters", b"[]")), 422, "invalid_parameter", "parameters"),
    (form(("image", png()), ("parameters", b"{")), 422, "invalid_parameter", "parameters"),
    (form(("image", png()), ("parameters", b"{}"), ("parameters", b"{}")), 422, "invalid_parameter", "parameters"),
    (form(("image", png()), ("parameters", b'{"top_k": 1}')), 422, "unknown_parameter", "parameters.top_k"),
    ((FORM, form(("image", png()))[1][:-12]), 400, "invalid_form", "form"),
    ((FORM, b""), 400, "invalid_form", "form"),
    ((FORM, b"--limit\r\n\r\nx\r\n--limit--\r\n"), 400, "invalid_form", "form"),
    ((FORM, form(*[("image", b"")] * 1001)[1]), 400, "invalid_form", "form"),
    (({"content-type": "multipart/form-data"}, form(("image", png()))[1]), 400, "invalid_form", "form"),
    (packed(b"no gzip"), 400, "broken_encoding", None),
    (packed(gzip.compress(ONE)[:-9]), 400, "broken_encoding", None),
    (packed(gzip.compress(ONE) + b"more"), 400, "broken_encoding", None),
    (packed(gzip.compress(b"{")), 400, "not_json", None),
    (packed(gzip.compress(bytes(MAX_BODY + 1))), 413, "body_too_large", None),
    (packed(ONE, "br"), 415, "unsupported_encoding", None),
    (packed(gzip.compress(gzip.compress(ONE)), "gzip, gzip"), 415, "unsupported_encoding", None),
]


@pytest.mark.parametrize(("request_", "status", "code", "field"), REFUSED)
def test_what_cannot_be_read_is_refused_by_name(ask, request_, status, code, field):
    got, answer, _ = ask(post(*request_))
    assert (got, answer["error"]["code"]) == (status, code)
    assert list(answer["error"]["fields"]) == ([field] if field else [])


@pytest.mark.parametrize("path", ["/v1/models/shapes/predict", "/v2/models/shapes/infer"])
def test_kserves_protocols_take_no_forms(ask, path):
    assert ask(post(*form(("image", png())), path))[0] == 415


def test_bare_url_tells_a_get_that_the_server_is_alive(ask):
    assert ask(lambda client: client.request("GET", "/"))[:2] == (200, {"status": "alive"})
    assert ask(lambda client: client.request("PUT", "/"))[2]["allow"] == "GET, POST"


def test_bad_form_does_not_stop_the_engine(ask):
    async def scenario(client: Client):
        for request in [parts for parts, *_ in REFUSED]:
            await client.request("POST", "/inference", [request[1]], request[0])
        return await client.post({"instances": [GOOD]})

    assert ask(scenario)[0] == 200


DATA = GOOD["data"].encode()
# What is written, and whether it is read without the JSON parser. Each must be answered as the parser alone would.
WRITINGS = [
    (b'{"instances": [{"data": "%s"}]}' % DATA, True),
    (b' {\n"instances" :[ {"data":\t"%s"} ] }\r\n' % DATA, True),
    (b'{"instances": [{"data": "%s"}], "parameters": {}}' % DATA, False),
    (b'{"instances": [{"data": "%s"}, {"data": "%s"}]}' % (DATA, DATA), False),
    (b'{"instances": [{"data": "%s", "name": "x"}]}' % DATA, False),
    (b'{"instances": [{"data": "%s"}]}' % DATA.replace(b"/", b"\\/"), b"/" not in DATA),
    (b'{"instances": [{"data": "\\u0069%s"}]}' % DATA[1:], False),
    (b'{"instances": [{"data": "%s\\n%s"}]}' % (DATA[:8], DATA[8:]), False),
]


@pytest.mark.parametrize(("body", "shortly"), WRITINGS)
def test_the_usual_request_is_read_without_the_parser_and_answered_alike(ask, body, shortly):
    assert (one_image(body) is not None) == shortly
    status, answer, _ = ask(post(JSON, body))
    count = len(json.loads(body)["instances"])
    assert (status, answer) == (200, {"predictions": [[BOX]] * count})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"instances": [{"data": "%s\n%s"}]}' % (DATA[:8], DATA[8:]), "not_json"),  # a bare line break is no JSON
        (b'{"instances": [{"data": "%s"}]' % DATA, "not_json"),
        (b'{"instances": [{"data": "%s"}]} x' % DATA, "not_json"),
        (b'\xef\xbb\xbf{"instances": [{"data": "%s"}]}' % DATA, "not_json"),
        (b'{"instances": [{"data": "%s}]}' % DATA, "not_json"),
        (b'{"instances": [{"data": "%s"}]}' % DATA[:-1], "not_base64"),
        (b'{"instances": [{"data": "\xff%s"}]}' % DATA, "not_json"),
        (b'{"instances": [{"data": ""}]}', "not_an_image"),
        (b'{"instances": [{"data": "abcd"}]}', "not_an_image"),
    ],
)
def test_what_only_looks_like_the_usual_request_is_refused_as_the_parser_says(ask, body, code):
    status, answer, _ = ask(post(JSON, body))
    assert (status, answer["error"]["code"]) == (400, code)
    if code != "not_json":
        assert list(answer["error"]["fields"]) == ["instances[0].data"]
