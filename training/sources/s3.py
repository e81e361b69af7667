"""A bucket of S3-compatible storage: IMPORT_S3_BUCKET at IMPORT_S3_ENDPOINT. The keys are in the environment only."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from django.conf import settings

from training.algorithms.base import Message
from training.algorithms.base import gettext_noop as _
from training.sources.base import LISTED, Entry, Item, Readable, SourceError

NOT_THERE = {"404", "NoSuchKey", "NotFound"}
CHANGED = {"412", "PreconditionFailed", "416", "InvalidRange"}
REFUSED = {"401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}


def available() -> bool:
    return bool(settings.IMPORT_S3_BUCKET)


def _client() -> Any:
    import boto3  # half a second: only for those who import
    from botocore.config import Config

    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.IMPORT_S3_ENDPOINT or None,
        aws_access_key_id=settings.IMPORT_S3_ACCESS_KEY or None,  # None: as boto3 finds them, an instance's role say
        aws_secret_access_key=settings.IMPORT_S3_SECRET_KEY or None,
        region_name=settings.IMPORT_S3_REGION,
        config=Config(
            connect_timeout=5,
            read_timeout=30,
            retries={"max_attempts": 4, "mode": "standard"},
            max_pool_connections=16,
            s3={"addressing_style": "path"} if settings.IMPORT_S3_ENDPOINT else {},
            response_checksum_validation="when_required",  # other storages than Amazon's send none
        ),
    )


class Source:
    parallel = 8

    def __init__(self, where: str) -> None:
        """`where` is the key of a zip, or a prefix with or without its last slash; "" is the whole bucket."""
        self.bucket: str = settings.IMPORT_S3_BUCKET
        self.where = where.removeprefix(f"s3://{self.bucket}/")
        self.prefix = self.where if self.where.endswith("/") or not self.where else f"{self.where}/"
        self.client = _client()

    def zip_item(self) -> Item | None:
        if self.prefix == self.where:
            return None
        try:
            with translated(self.where):
                found = self.client.head_object(Bucket=self.bucket, Key=self.where)
        except SourceError as error:
            if error.message.text == NO_SUCH:
                return None  # it may be a prefix
            raise
        return Item(self.where.rpartition("/")[2], self.where, found["ContentLength"], found["ETag"])

    def items(self) -> Iterator[Item]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        empty = True
        with translated(self.where):
            for page in pages:
                for found in page.get("Contents", ()):
                    empty = False
                    if name := found["Key"].removeprefix(self.prefix):
                        yield Item(name, found["Key"], found["Size"], found["ETag"])
        if empty:
            raise SourceError(Message(NO_SUCH, {"where": self.where}))

    @contextmanager
    def read(self, item: Item, start: int = 0) -> Iterator[Readable]:
        part = {"Range": f"bytes={start}-"} if start else {}
        with translated(item.key):
            found = self.client.get_object(Bucket=self.bucket, Key=item.key, IfMatch=item.version, **part)
        with closing(found["Body"]) as body:
            yield _Body(body, item.key)

    def listing(self) -> list[Entry]:
        with translated(self.where):
            found = self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, Delimiter="/", MaxKeys=LISTED)
        folders = [
            Entry(row["Prefix"].removeprefix(self.prefix).rstrip("/"), row["Prefix"], folder=True)
            for row in found.get("CommonPrefixes", ())
        ]
        zips = [
            Entry(row["Key"].removeprefix(self.prefix), row["Key"], folder=False, size=row["Size"])
            for row in found.get("Contents", ())
            if row["Key"].lower().endswith(".zip")
        ]
        return folders + zips


class _Body:
    """Its `read` raises SourceError or OSError, as that of any file, and neither boto3's nor urllib3's own errors."""

    def __init__(self, body: Any, key: str) -> None:
        self.body, self.key = body, key

    def read(self, size: int, /) -> bytes:
        with translated(self.key):
            return bytes(self.body.read(size))


NO_SUCH = _("There is no %(where)s.")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn what boto3 raises into a SourceError for a person, or a ConnectionError when to ask again may help."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        if code in CHANGED:
            raise SourceError(Message(_("%(name)s changed while it was copied."), {"name": where})) from None
        if code in NOT_THERE:
            raise SourceError(Message(NO_SUCH, {"where": where})) from None
        if code in REFUSED:
            text = _("The storage refuses the console's keys (%(code)s). Ask whoever runs the console.")
            raise SourceError(Message(text, {"code": code})) from None
        text = _("The storage answered %(code)s for %(where)s.")
        raise SourceError(Message(text, {"code": code, "where": where})) from None
    except exceptions.NoCredentialsError:
        raise SourceError(
            Message(_("The console has no keys for the storage. Ask whoever runs the console."))
        ) from None
    except (exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError) as error:
        raise ConnectionError(type(error).__name__) from None
    except exceptions.BotoCoreError as error:
        text = _("The storage cannot be used (%(error)s). Ask whoever runs the console.")
        raise SourceError(Message(text, {"error": type(error).__name__})) from None
