"""The two ways of a zip into the console: in one request, or by the tus protocol with the stock client."""

from pathlib import Path
from typing import Any

from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

from console.sdk import ApiError
from tests.chaos.patient import Patient

PIECE = 64 * 1024  # bytes of one request: a kill mostly finds an upload in its middle
GO_ON = (None, 400, 409)  # cut off, or another place to go on from: ask where


def in_one_request(console: Patient, name: str, algorithm: str, zipped: Path) -> dict[str, Any]:
    fields = {"name": name, "algorithm": algorithm}
    made: dict[str, Any] = console.make("datasets", name, lambda: console.client.upload("datasets/", fields, zipped))
    return made


def by_tus(console: Patient, name: str, algorithm: str, zipped: Path) -> dict[str, Any]:
    """Goes on where it was, whatever was killed; also when not even the answer to its beginning came."""
    address = f"{console.url}/api/v1/datasets/upload/"
    client = TusClient(address, headers={"Authorization": f"Bearer {console.token}"})
    told = {"name": name, "algorithm": algorithm, "filename": zipped.name}

    def attempt() -> dict[str, Any] | None:
        row = console.named("datasets", name)
        if row is not None and row["status"] != "UPLOADING":
            return row
        try:
            url = f"{address}{row['id']}/" if row else None
            client.uploader(str(zipped), url=url, metadata=told, chunk_size=PIECE).upload()
        except TusCommunicationError as error:
            status = 0 if error.status_code in GO_ON else error.status_code
            raise ApiError(status, "tus", f"{error} {error.response_content!r}") from error
        return console.named("datasets", name)

    made: dict[str, Any] = console.until(f"tus {name}", attempt)
    return made
