"""The web process: stage URLs go to `endpoints.invoke`, everything else to Django."""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
django.setup(set_prefix=False)

from console.uploads import UploadHandler  # noqa: E402  (needs the settings that the line above loads)
from endpoints import invoke  # noqa: E402

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

django_application: Any = UploadHandler()
stages = invoke.StageApplication()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    stage_url = scope["type"] == "http" and scope["path"].startswith("/stage/")
    if stage_url or scope["type"] == "lifespan":
        await stages(scope, receive, send)
    else:
        await django_application(scope, receive, send)
