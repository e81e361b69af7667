"""An engine's application whose model is loaded, on a toy detector."""

import asyncio
import json

import pytest

from endpoints.engine.model import ServedModel
from endpoints.engine.plane import DataPlane
from endpoints.engine.protocols import routes
from endpoints.engine.server import App
from tests.engine.asgi import INPUT_BYTES, MANIFEST, REPORT, Client, Toy


@pytest.fixture
def toy():
    return Toy()


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps(MANIFEST))
    (tmp_path / "export_report.json").write_text(json.dumps(REPORT))
    return ServedModel(tmp_path, max_request_bytes=INPUT_BYTES * 5)


@pytest.fixture
def ask(model, toy):
    """ask(scenario) runs `await scenario(client)` against an app that is ready, and stops it."""

    def run(scenario, **limits):
        async def session():
            plane = DataPlane(model, toy, threads=2)
            plane.info = {"runtime": "toy"}
            app = App(routes("shapes", "/inference", "1"), lambda: plane, pytest.fail, **limits)
            inbox, ready = asyncio.Queue(), asyncio.Event()
            await inbox.put({"type": "lifespan.startup"})

            async def started(message):
                ready.set()

            life = asyncio.create_task(app({"type": "lifespan"}, inbox.get, started))
            await ready.wait()
            client = Client(app)
            while (await client.request("GET", "/-/ready"))[0] != 200:
                await asyncio.sleep(0.01)
            try:
                return await scenario(client)
            finally:
                toy.gate.set()
                await inbox.put({"type": "lifespan.shutdown"})
                await life

        return asyncio.run(session())

    return run
