"""Resumable uploads by the tus protocol 1.0 (https://tus.io/protocols/resumable-upload): its words onto our services.

drf-tus, the obvious package, reads every piece into memory, keeps its offset in a row and nothing of a piece that is
cut off. Here the offset is what is on the disk.
"""

import binascii
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.http import http_date
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from console import access
from console.api.base import first_project
from console.templatetags.console import message
from console.tus_body import CONTENT_TYPE, LiveBody
from training import disk, incoming, services
from training.dataset_work import Abandoned
from training.models import Dataset, DatasetStatus, Project, Role
from training.services import uploads

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,termination,expiration"
MOST_DIGITS = 19  # of a size; with more it is as good as the smallest of those, and Python reads no thousands of them
TAKE_OVER_SECONDS = 5  # for the request before, of a connection that its client has given up, to note what it has

_bodies: dict[str, LiveBody] = {}  # by dataset: what is being read now
_bodies_lock = threading.Lock()


class Refused(APIException):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status_code = status


class Body:
    """`read` of an upload: the request's body. Raises Cut when the rest of it does not come."""

    def __init__(self, request: HttpRequest, pk: str) -> None:
        self.request, self.pk = request, pk
        stream = getattr(request, "_stream", None)
        self.live = stream if isinstance(stream, LiveBody) else None
        self.left = int(request.headers.get("Content-Length") or 0)

    def __call__(self, size: int) -> bytes:
        if self.live:
            with _bodies_lock:
                _bodies[self.pk] = self.live
        try:
            piece: bytes = self.request.read(size)
        except OSError as error:
            raise incoming.Cut from error
        self.left -= len(piece)
        if not piece and self.left > 0:
            raise incoming.Cut
        return piece

    def forget(self) -> None:
        with _bodies_lock:
            if self.live and _bodies.get(self.pk) is self.live:
                del _bodies[self.pk]


class Piece(BaseParser):
    """Leaves the body alone, for whoever only looks for a form in it: the check of a CSRF token does."""

    media_type = CONTENT_TYPE.decode()

    def parse(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {}


@extend_schema(exclude=True)  # OpenAPI has no words for it: docs/api.md does
class TusView(APIView):
    """What every answer of the protocol has."""

    parser_classes = (Piece,)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        meant = request.headers.get("X-HTTP-Method-Override", "")
        if request.method == "POST" and meant in ("PATCH", "DELETE"):
            request.method = meant
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method != "OPTIONS" and request.headers.get("Tus-Resumable") != VERSION:
            raise Refused(412, _("Send the header “Tus-Resumable: %(version)s”.") % {"version": VERSION})

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response["Tus-Resumable"] = VERSION
        response["Cache-Control"] = "no-store"
        if response.status_code == HTTPStatus.PRECONDITION_FAILED:
            response["Tus-Version"] = VERSION
        return super().finalize_response(request, response, *args, **kwargs)

    def get_permissions(self) -> Any:
        return [] if self.request.method == "OPTIONS" else super().get_permissions()

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        headers = {
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(settings.UPLOAD_MAX_BYTES),
            "Tus-Checksum-Algorithm": ",".join(incoming.CHECKSUMS),
        }
        return Response(status=204, headers=headers)

    def append(self, request: Request, dataset: Dataset, start: int) -> int:
        """Write the request's body to the upload. -> the new offset. Raises what the protocol calls for."""
        body = Body(request._request, dataset.pk)
        checksum = _checksum(request)
        try:
            return alone(
                dataset.pk,
                lambda: services.dataset_upload_append(
                    dataset=dataset, user=request.user, start=start, read=body, checksum=checksum
                ),
            )
        except incoming.WrongOffset as error:
            raise Refused(409, _("The upload goes on at byte %(offset)s.") % {"offset": error.args[0]}) from error
        except incoming.TooLong as error:
            raise Refused(413, _("More bytes came than were announced.")) from error
        except incoming.WrongChecksum as error:
            raise Refused(460, _("The piece does not have its checksum. Send it again.")) from error
        except incoming.Cut as error:
            if body.live and body.live.idle:
                raise Refused(408, _("Nothing came for a while. Ask for the offset, and go on from there.")) from error
            raise ParseError(_("The connection was closed. Ask for the offset, and go on from there.")) from error
        except OSError as error:
            if (reason := disk.reason(error)) is None:
                raise
            raise Refused(507, message(reason.as_json())) from error
        finally:
            body.forget()


class UploadsView(TusView):
    def post(self, request: Request) -> Response:
        """Begin an upload; a body that comes along is its first piece."""
        dataset = self.begin(request)
        headers = {"Location": reverse("api-upload", args=[dataset.pk]), "Dataset-Id": dataset.pk, **_expires(dataset)}
        if _is_piece(request):
            headers["Upload-Offset"] = str(self.append(request, dataset, 0))
        return Response(status=201, headers=headers)

    def begin(self, request: Request) -> Dataset:
        length = _number(request, "Upload-Length")
        if length > settings.UPLOAD_MAX_BYTES:
            text = _("The file is larger than %(limit)s bytes, which is the limit.")
            raise Refused(413, text % {"limit": settings.UPLOAD_MAX_BYTES})
        if why := disk.no_room(settings.FILE_UPLOAD_TEMP_DIR, length):
            raise Refused(507, message(why.as_json()))
        told = _metadata(request.headers.get("Upload-Metadata", ""))
        return services.dataset_upload_begin(
            project=_project(request, told.get("project", "")),
            user=request.user,
            name=told.get("name", ""),
            algorithm=told.get("algorithm", ""),
            size=length,
            filename=told.get("filename", ""),
            description=told.get("description", ""),
            sha256=told.get("sha256", ""),
            modified=told.get("modified", ""),
        )


class UploadView(TusView):
    def head(self, request: Request, pk: str) -> Response:
        """How much is there, and whether it has become a dataset that is checked."""
        dataset = _mine(request, pk)
        offset = int(dataset.source["bytes"])
        if dataset.status == DatasetStatus.UPLOADING:
            offset = alone(pk, lambda: _offset(dataset, request.user))
        length = str(dataset.source["bytes"])
        headers = {"Upload-Offset": str(offset), "Upload-Length": length, "Dataset-Id": pk, **_expires(dataset)}
        return Response(headers=headers)

    def patch(self, request: Request, pk: str) -> Response:
        """Go on at `Upload-Offset`."""
        dataset = _mine(request, pk)
        if not _is_piece(request):
            raise UnsupportedMediaType(request.headers.get("Content-Type", ""))
        offset = self.append(request, dataset, _number(request, "Upload-Offset"))
        headers = {"Upload-Offset": str(offset), "Dataset-Id": pk, **_expires(dataset)}
        return Response(status=204, headers=headers)

    def delete(self, request: Request, pk: str) -> Response:
        """End the upload; of one that is complete, the dataset."""
        services.dataset_delete(dataset=_mine(request, pk), user=request.user)
        end_body(pk)
        return Response(status=204)


def alone(pk: str, work: Callable[[], int]) -> int:
    """`work()` once no other request writes to the upload: one that still reads is told to note what it has and end.

    Raises Refused (423) when it does not, and Http404 when the dataset has been deleted.
    """
    give_up = time.monotonic() + TAKE_OVER_SECONDS
    while True:
        try:
            return work()
        except uploads.Busy as error:
            if time.monotonic() > give_up:
                raise Refused(423, _("Another request writes to this upload. Try again shortly.")) from error
            end_body(pk)
            time.sleep(0.05)
        except (Abandoned, Dataset.DoesNotExist) as error:
            raise Http404 from error


def end_body(pk: str) -> None:
    """Tell the request that reads for this upload, if this process has one, to end."""
    with _bodies_lock:
        body = _bodies.get(pk)
    if body:
        body.end()


def _offset(dataset: Dataset, user: Any) -> int:
    with uploads.writing(dataset) as upload:
        offset = upload.offset() if dataset.status == DatasetStatus.UPLOADING else upload.length
        if offset == upload.length:  # a kill came between the last byte and the row
            services.dataset_upload_finish(upload=upload, user=user)
        return offset


def _mine(request: Request, pk: str) -> Dataset:
    """An upload that the person began, in a project that they may still change. Raises Http404, PermissionDenied."""
    begun = access.mine(request, Dataset).filter(created_by=access.person(request), source__has_key="bytes")
    get_object_or_404(begun.exclude(status=DatasetStatus.DELETE_IN_PROGRESS), pk=pk)
    return access.load(request, Dataset, pk, Role.EDITOR)


def _project(request: Request, named: str) -> Project:
    """By id or appkey; without either the person's first. Raises Http404, PermissionDenied or ValidationError."""
    pk = first_project(request)
    if named:
        pk = Project.objects.filter(Q(pk=named) | Q(appkey=named)).values_list("pk", flat=True).first() or ""
    if pk is None:
        raise ValidationError({"project": [_("You are not a member of any project.")]})
    return access.load_project(request, pk, Role.EDITOR)


def _is_piece(request: Request) -> bool:
    return request.headers.get("Content-Type", "").encode() == CONTENT_TYPE


def _number(request: Request, header: str) -> int:
    text = request.headers.get(header, "")
    if not (text.isascii() and text.isdigit()):
        raise ParseError(_("The header “%(header)s” must be a number of bytes.") % {"header": header})
    return int(text) if len(text) <= MOST_DIGITS else 10**MOST_DIGITS


def _metadata(header: str) -> dict[str, str]:
    """`name <base64>,filename <base64>` -> {"name": ..., "filename": ...}. Raises ParseError."""
    told = {}
    for pair in filter(None, (part.strip() for part in header.split(","))):
        key, _space, encoded = pair.partition(" ")
        try:
            told[key] = b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ParseError(_("“%(key)s” in Upload-Metadata must be UTF-8 in base64.") % {"key": key}) from error
    return told


def _checksum(request: Request) -> incoming.Checksum | None:
    header = request.headers.get("Upload-Checksum")
    try:
        return incoming.Checksum(header) if header else None
    except ValueError as error:
        text = _("Upload-Checksum must be one of %(names)s and the sum in base64.")
        raise ParseError(text % {"names": ", ".join(incoming.CHECKSUMS)}) from error


def _expires(dataset: Dataset) -> dict[str, str]:
    """The header of the expiration extension, while there is something that expires."""
    if dataset.status != DatasetStatus.UPLOADING:
        return {}
    return {"Upload-Expires": http_date(uploads.dataset_upload_expires(dataset).timestamp())}
