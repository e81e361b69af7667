"""The console from a script:

    client = Client("http://127.0.0.1:8000", token)
    dataset = client.upload("datasets/", {"name": "cats", "algorithm": "image_classification"}, Path("cats.zip"))
    client.wait(f"datasets/{dataset['id']}/", "READY", timeout=600)
    training = client.post("trainings/", {"name": "cats", "dataset": dataset["id"]})

It needs the standard library only, neither Django nor this package's settings.
"""

import base64
import http.client
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

BLOCK = 256 * 1024
FAILED = frozenset({"INVALID", "STOPPED", "FAIL_TRAIN", "CREATE_FAILED", "UPDATE_FAILED", "DEPLOY_FAILED"})
TRY_LATER = (429, 503)


class ApiError(Exception):
    """The console refused. `fields` are the messages by field; status 0: it could not be reached."""

    def __init__(self, status: int, code: str, message: str, fields: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.fields = status, code, message, dict(fields or {})

    def __str__(self) -> str:
        details = "".join(f"\n  {name}: {' '.join(texts)}" for name, texts in self.fields.items())
        return f"{self.message} ({self.status} {self.code}){details}"


class Client:
    """Calls of /api/v1/ with a token. Every method raises ApiError. Times are seconds."""

    def __init__(self, url: str, token: str, timeout: float = 120) -> None:
        self.url, self.timeout = url.rstrip("/"), timeout
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def get(self, path: str, **parameters: Any) -> Any:
        query = f"?{urllib.parse.urlencode(parameters, doseq=True)}" if parameters else ""
        return self._call("GET", f"{path}{query}")

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        data = json.dumps(dict(body or {})).encode()
        return self._call("POST", path, data, {"Content-Type": "application/json"})

    def delete(self, path: str) -> None:
        self._call("DELETE", path)

    def upload(self, path: str, fields: Mapping[str, str], file: Path) -> Any:
        """POST `fields` and the file as multipart. The file is read as it is sent, never as a whole."""
        boundary = secrets.token_hex(16)
        head, tail = _around(boundary, fields, file.name)
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + file.stat().st_size + len(tail)),
        }
        return self._call("POST", path, _pieces(head, file, tail), headers)

    def wait(
        self,
        path: str,
        wanted: str,
        *,
        timeout: float,
        pause: float = 0.5,
        seen: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        """Ask for an object until its status is `wanted`. `seen` gets every answer.

        Raises ApiError with the object's own reason when it fails instead, and TimeoutError.
        """
        deadline = time.monotonic() + timeout
        while True:
            answer: dict[str, Any] = self.get(path)
            if seen:
                seen(answer)
            if answer["status"] == wanted:
                return answer
            if answer["status"] in FAILED:
                raise ApiError(200, answer["status"], _reason(answer))
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} is still {answer['status']} after {timeout:.0f} s.")
            time.sleep(pause)

    def infer(
        self, stage_url: str, images: Sequence[bytes], key: str = "", parameters: Mapping[str, Any] | None = None
    ) -> Any:
        """Send image files to a stage. While it answers 503 or 429 with Retry-After, try again, within the timeout."""
        body: dict[str, Any] = {"instances": [{"data": base64.b64encode(image).decode()} for image in images]}
        if parameters:
            body["parameters"] = dict(parameters)
        headers = {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})}
        deadline = time.monotonic() + self.timeout
        while True:
            request = urllib.request.Request(stage_url, json.dumps(body).encode(), headers, method="POST")
            try:
                return self._answer(request)
            except ApiError as error:
                if error.status not in TRY_LATER or time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def _call(self, method: str, path: str, data: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        url = f"{self.url}/api/v1/{path}"
        return self._answer(urllib.request.Request(url, data, {**self._headers, **(headers or {})}, method=method))

    def _answer(self, request: urllib.request.Request) -> Any:
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                content = response.read()
                is_json = response.headers.get_content_type() == "application/json"
        except urllib.error.HTTPError as error:
            raise _refusal(error.code, error.read()) from None
        except (OSError, http.client.HTTPException) as error:  # URLError is the one, an answer cut off the other
            reason = getattr(error, "reason", error)
            raise ApiError(0, "unreachable", f"{request.full_url} cannot be reached: {reason}") from error
        return json.loads(content) if is_json else content.decode()


def _refusal(status: int, content: bytes) -> ApiError:
    """The console's error body as an exception; a proxy's page as it is."""
    try:
        error = json.loads(content)["error"]
        return ApiError(status, str(error["code"]), str(error["message"]), error.get("fields"))
    except (ValueError, KeyError, TypeError):
        return ApiError(status, "error", content.decode(errors="replace")[:500])


def _reason(answer: Mapping[str, Any]) -> str:
    """Why an object failed: its reason, else the errors of a dataset's report."""
    errors = [f"{row['file']}: {row['message']}" for row in answer.get("report", []) if row["level"] == "error"]
    reason = answer.get("status_reason") or "; ".join(errors[:5]) or "no reason was given"
    return f"{answer['name']} is {answer['status']}: {reason}"


def _around(boundary: str, fields: Mapping[str, str], filename: str) -> tuple[bytes, bytes]:
    """What comes before and after the file in a multipart body (RFC 7578)."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    quoted = filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
        "Content-Type: application/zip\r\n\r\n"
    )
    return "".join(parts).encode(), f"\r\n--{boundary}--\r\n".encode()


def _pieces(head: bytes, file: Path, tail: bytes) -> Iterator[bytes]:
    yield head
    with file.open("rb") as opened:
        while piece := opened.read(BLOCK):
            yield piece
    yield tail
