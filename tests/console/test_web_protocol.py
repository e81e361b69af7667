"""Whatever form a request for a stage URL has, the web process answers it as a stage URL."""

import socket

import pytest

from endpoints.invoke import StageApplication
from endpoints.statistics import Recorder
from tests.endpoints.web import Web, lifespan, resource, serving, table, toy_engine


@pytest.fixture
def web(tmp_path):
    """The web process's connections before one stage, which tells how many bytes it was sent."""
    routes = tmp_path / "routes.json"
    application = StageApplication(routes, Recorder(write=lambda calls: None))
    with (
        toy_engine(tmp_path / "e.sock", lambda request: request.reply({"bytes": len(request.body)})) as path,
        serving(application) as url,
    ):
        found = Web(url, routes)
        found.publish(table({"default": [resource(path)]}))
        yield found


def ask(web, target, headers=b""):
    """-> the whole answer to a POST of two bytes, in the words of a socket."""
    port = int(web.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        head = b"POST %b HTTP/1.1\r\nhost: x\r\nconnection: %b\r\ncontent-length: 2\r\n%b\r\n"
        connection.sendall(head % (target, b"upgrade" if headers else b"close", headers) + b"{}")
        answer = b""
        while b'"bytes"' not in answer and b'"error"' not in answer:
            part = connection.recv(4096)
            if not part:
                break
            answer += part
    return answer


def test_with_the_whole_address_as_a_proxy_sends_it(web):
    assert ask(web, b"http://x/stage/e1").startswith(b"HTTP/1.1 200 ")


def test_with_an_offer_of_another_protocol_as_curl_and_java_make_it(web):
    answer = ask(web, b"/stage/e1", b"upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'{"bytes": 2}')


def test_the_other_pages_get_the_body_behind_an_offer_too(tmp_path):
    async def echo(scope, receive, send):
        if scope["type"] == "lifespan":
            return await lifespan(receive, send)
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"bytes": %d}' % len(body)})

    with serving(echo) as url:
        answer = ask(Web(url, tmp_path), b"/api/v1/models/", b"upgrade: h2c\r\n")
    assert b'{"bytes": 2}' in answer


@pytest.mark.parametrize("target", [b"/%73tage/e1", b"/stage/%00", b"/stage/", b"/stage/e1/%ff/x"])
def test_an_address_that_is_none_is_not_found(web, target):
    answer = ask(web, target)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b'"not_found"' in answer
