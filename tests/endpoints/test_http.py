"""Between a socket and an application: bodies arrive whole, answers leave whole, connections stay usable."""

import asyncio
import gc
import socket
import threading
import time
from contextlib import closing

import pytest

from endpoints.http import EXTENSION, QuickCycle, QuickProtocol
from tests.endpoints.web import lifespan, serving

MB = 2**20


class App:
    """Does what the path says; notes what it was given."""

    def __init__(self):
        self.parts, self.gone = [], []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return await lifespan(receive, send)
        if scope["path"] == "/broken":
            raise ValueError("before the answer")
        if scope["path"] == "/wait":
            await asyncio.sleep(3)
        if scope["path"] == "/early":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
            await send({"type": "http.response.body", "body": b"early", "more_body": True})
            await self.read(receive)
            return await send({"type": "http.response.body"})
        body = await self.read(receive)
        if scope["path"] == "/gone":
            gone = asyncio.Event()
            scope["extensions"][EXTENSION].when_gone = gone.set
            await gone.wait()
            self.gone.append((await receive())["type"])
            return
        length = [] if scope["path"] == "/unsaid" else [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        if scope["path"] == "/half":
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            raise ValueError("in the middle of the answer")
        await send({"type": "http.response.body", "body": body})

    async def read(self, receive):
        self.parts, more = [], True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.append(message["type"])
                break
            self.parts.append(message["body"])
            more = message["more_body"]
        return b"".join(self.parts)


@pytest.fixture
def app():
    return App()


@pytest.fixture
def connect(app):
    """connect() -> a new connection to a server of `app`."""
    with serving(app, QuickProtocol) as url:
        port = int(url.rpartition(":")[2])

        def connected():
            connection = socket.create_connection(("127.0.0.1", port), timeout=20)
            return closing(connection)

        yield connected


def message(path, body=b"", *, method=b"POST", version=b"1.1", headers=b""):
    start = b"%b %b HTTP/%b\r\nhost: x\r\n" % (method, path.encode(), version)
    return start + b"content-length: %d\r\n%b\r\n" % (len(body), headers) + body


def answer(file, *, has_body=True):
    """-> (status, headers, body) of the next answer of a connection's file."""
    status = int(file.readline().split()[1])
    headers = {}
    while line := file.readline().strip():
        name, _, value = line.partition(b":")
        headers[name.strip().decode()] = value.strip().decode()
    return status, headers, file.read(int(headers.get("content-length", 0))) if has_body else b""


@pytest.mark.parametrize("size", [0, 1, 120_000, 3 * MB])
def test_a_body_comes_back_as_it_was_sent(app, connect, size):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with connect() as connection:
        connection.sendall(message("/", body))
        assert answer(connection.makefile("rb"))[::2] == (200, body)


def test_a_body_is_handed_over_as_it_comes(app, connect):
    """So that whoever counts what is held counts all of it."""
    with connect() as connection:
        request = message("/", b"p" * 100)
        connection.sendall(request[:-50])
        ends = time.monotonic() + 20
        while sum(map(len, app.parts)) < 50:
            assert time.monotonic() < ends
            time.sleep(0.01)
        connection.sendall(request[-50:])
        assert answer(connection.makefile("rb"))[2] == b"p" * 100


def test_a_chunked_body_is_read_to_its_end(app, connect):
    with connect() as connection:
        head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        connection.sendall(head + b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
        assert answer(connection.makefile("rb"))[2] == b"abcdefg"


OFFER = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"


def test_who_offers_another_protocol_is_answered_in_this_one(app, connect):
    """As Java's client offers HTTP/2 in each request: the body, and the next request, are not lost with the offer."""
    with connect() as connection:
        connection.sendall(b"".join(message("/", text, headers=OFFER) for text in (b"one", b"", b"three")))
        file = connection.makefile("rb")
        assert [answer(file)[2] for _ in range(3)] == [b"one", b"", b"three"]
        head, _, rest = message("/", b"later", headers=OFFER).partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        time.sleep(0.1)
        connection.sendall(rest)
        assert answer(file)[2] == b"later"
        connection.sendall(
            b"POST / HTTP/1.1\r\nhost: x\r\n%btransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" % OFFER
        )
        assert answer(file)[2] == b"abc"


def test_an_offer_of_a_websocket_is_one_of_another_protocol(app, connect):
    with connect() as connection:
        handshake = b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
        offer = b"connection: upgrade\r\nupgrade: websocket\r\n" + handshake
        connection.sendall(message("/", b"body", headers=offer))
        assert answer(connection.makefile("rb"))[2] == b"body"


def test_an_offer_of_another_protocol_does_not_keep_a_connection_that_was_to_end(app, connect):
    with connect() as connection:
        connection.sendall(message("/", b"last", headers=OFFER.replace(b"Upgrade,", b"close, Upgrade,")))
        file = connection.makefile("rb")
        assert answer(file)[2] == b"last"
        assert file.read() == b""


def test_thousands_of_offers_at_once_are_each_answered(app, connect):
    with connect() as connection:
        sender = threading.Thread(target=connection.sendall, args=[message("/", b"x", headers=OFFER) * 3000])
        sender.start()
        file = connection.makefile("rb")
        assert all(answer(file)[2] == b"x" for _ in range(3000))
        sender.join()


@pytest.mark.parametrize("offer", [b"", OFFER])
@pytest.mark.parametrize("target", ["http://", "/\N{DEGREE SIGN}"])
def test_an_address_that_cannot_be_read_is_refused(app, connect, target, offer):
    with connect() as connection:
        connection.sendall(message(target, b"body", headers=offer))
        assert answer(connection.makefile("rb"))[0] == 400


def test_a_tunnel_is_refused(app, connect):
    with connect() as connection:
        connection.sendall(b"CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n")
        assert answer(connection.makefile("rb"))[0] == 400


def test_a_sender_is_held_back_until_its_body_is_read(app, connect):
    with connect() as connection:
        connection.sendall(message("/wait").replace(b"content-length: 0", b"content-length: %d" % (64 * MB)))
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.sendall(bytes(32 * MB))  # more than what the system itself buffers


def test_one_connection_carries_many_requests_also_when_they_are_sent_at_once(app, connect):
    with connect() as connection:
        connection.sendall(b"".join(message("/", text) for text in (b"one", b"two", b"three")))
        file = connection.makefile("rb")
        assert [answer(file)[2] for _ in range(3)] == [b"one", b"two", b"three"]
        connection.sendall(message("/", b"four"))
        assert answer(file)[2] == b"four"


def test_who_asks_whether_to_send_a_body_is_told_so_first(app, connect):
    with connect() as connection:
        request = message("/", b"body", headers=b"expect: 100-continue\r\n")
        connection.sendall(request[:-4])
        file = connection.makefile("rb")
        assert answer(file)[0] == 100
        connection.sendall(b"body")
        assert answer(file)[::2] == (200, b"body")


def test_who_was_answered_already_is_not_told_to_send_its_body(app, connect):
    with connect() as connection:
        file = connection.makefile("rb")
        connection.sendall(message("/early", b"body", headers=b"expect: 100-continue\r\n")[:-4])
        assert answer(file)[2] == b"early"
        connection.sendall(b"body" + message("/", b"next"))
        assert answer(file)[::2] == (200, b"next")


def test_head_gets_the_length_and_no_body(app, connect):
    with connect() as connection:
        connection.sendall(message("/", b"body", method=b"HEAD") + message("/", b"next"))
        file = connection.makefile("rb")
        status, headers, _ = answer(file, has_body=False)
        assert (status, headers["content-length"]) == (200, "4")
        assert answer(file)[2] == b"next"


def test_an_application_that_fails_gives_500_and_ends_the_connection(app, connect):
    with connect() as connection:
        connection.sendall(message("/broken"))
        status, headers, body = answer(connection.makefile("rb"))
        assert (status, headers["connection"], body) == (500, "close", b"Internal Server Error")
        assert connection.recv(1) == b""


def test_an_answer_that_breaks_off_is_seen_to_be_broken(app, connect):
    with connect() as connection:
        connection.sendall(message("/half", b"0123456789"))
        _, headers, body = answer(connection.makefile("rb"))
    assert (headers["content-length"], body) == ("10", b"01234")


def test_an_answer_without_a_length_ends_with_its_connection(app, connect):
    with connect() as connection:
        connection.sendall(message("/unsaid", b"body"))
        file = connection.makefile("rb")
        assert answer(file, has_body=False)[1]["connection"] == "close"
        assert file.read() == b"body"


@pytest.mark.parametrize(("version", "headers"), [(b"1.0", b""), (b"1.1", b"connection: close\r\n")])
def test_who_wants_one_answer_only_gets_it_and_the_end(app, connect, version, headers):
    with connect() as connection:
        connection.sendall(message("/", b"body", version=version, headers=headers))
        file = connection.makefile("rb")
        status, answered, body = answer(file)
        assert (status, answered["connection"], body, file.read()) == (200, "close", b"body", b"")


def test_an_application_hears_that_its_caller_hung_up(app, connect):
    with connect() as connection:
        connection.sendall(message("/gone", b"body"))
    until_gone(app, connect)
    assert app.gone == ["http.disconnect"]


def until_gone(app, connect):
    """Others are answered all the same meanwhile."""
    with connect() as other:
        file = other.makefile("rb")
        while not app.gone:
            other.sendall(message("/", b""))
            assert answer(file)[0] == 200


def test_a_caller_that_breaks_off_its_body_is_gone(app, connect):
    with connect() as connection:
        connection.sendall(message("/", b"0123456789")[:-5])
    until_gone(app, connect)
    assert app.gone == ["http.disconnect"]


def test_an_answered_call_is_gone_from_memory_at_once(connect):
    """Its bodies are large: they must not wait until the garbage collector comes by."""
    with connect() as connection:
        file = connection.makefile("rb")
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                connection.sendall(message("/", b"body"))
                answer(file)
            assert sum(type(thing) is QuickCycle for thing in gc.get_objects()) <= 2
        finally:
            gc.enable()
