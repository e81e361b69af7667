"""Every refusal of the REST API has one shape: `{"error": {"code", "message", "fields"}}`."""

import logging
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, RequestDataTooBig, SuspiciousOperation, ValidationError
from django.db.models import Model
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler as rest_exception_handler
from rest_framework.views import set_rollback

from console.templatetags.console import message as in_language
from training import disk
from training.errors import Conflict, ServiceError

logger = logging.getLogger(__name__)

CODES = {
    400: "invalid",
    401: "not_authenticated",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "timeout",
    409: "conflict",
    412: "unsupported_version",
    413: "too_large",
    415: "unsupported_media_type",
    423: "locked",
    429: "throttled",
    460: "wrong_checksum",
    500: "error",
    507: "insufficient_storage",
}
Fields = dict[str, list[str]]


def error_body(code: str, message: str, fields: Fields | None = None) -> dict[str, Any]:
    named = {_encodable(name): [_encodable(text) for text in texts] for name, texts in (fields or {}).items()}
    return {"error": {"code": code, "message": _encodable(message), "fields": named}}


def _encodable(text: str) -> str:
    """Half of a surrogate pair, which JSON can spell and UTF-8 cannot, comes back as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response:
    """Turn whatever a view raised into the one shape. What nobody foresaw is logged and answers 500."""
    if isinstance(exc, ServiceError):
        set_rollback()
        blockers = exc.blockers if isinstance(exc, Conflict) else []
        return Response(error_body("conflict", in_language(exc.message.as_json()), _by_kind(blockers)), status=409)
    if isinstance(exc, ValidationError):
        exc = exceptions.ValidationError(_django_fields(exc))
    if isinstance(exc, Http404):  # its own text names the model, in English only
        exc = exceptions.NotFound()
    if isinstance(exc, SuspiciousOperation):  # Django's limits of a form: too many fields, too long a field
        status = 413 if isinstance(exc, RequestDataTooBig) else 400
        return Response(error_body(CODES[status], str(exc)), status=status)
    answer = rest_exception_handler(exc, context)
    if answer is None:
        set_rollback()
        logger.error("%s failed", context["request"].path, exc_info=exc)
        if why := disk.reason(exc):
            return Response(error_body(CODES[507], in_language(why.as_json())), status=507)
        return Response(error_body("error", _("The server failed. Its log says why.")), status=500)
    fields = dict(_flatten(answer.data)) if isinstance(exc, exceptions.ValidationError) else {}
    message = _summary(fields) if fields else _detail(answer.data)
    answer.data = error_body(CODES.get(answer.status_code, "error"), message, fields)
    return answer


def not_found(request: Request, *args: Any, **kwargs: Any) -> Response:
    raise exceptions.NotFound


def _by_kind(blockers: list[Model]) -> Fields:
    """Name what is in the way: {"model": ["cats (3f2a...)"]}."""
    named: Fields = {}
    for blocker in blockers:
        named.setdefault(str(blocker._meta.model_name), []).append(f"{blocker} ({blocker.pk})")
    return named


def _django_fields(error: ValidationError) -> dict[str, list[str]]:
    fields = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
    return {api_settings.NON_FIELD_ERRORS_KEY if k == NON_FIELD_ERRORS else k: v for k, v in fields.items()}


def _flatten(data: Any, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Nested serializer errors -> ("hyperparameters.learning_rate", [messages])."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _flatten(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(data, list) and any(isinstance(item, dict | list) for item in data):
        for index, item in enumerate(data):
            yield from _flatten(item, f"{prefix}.{index}" if prefix else str(index))
    else:
        yield prefix or api_settings.NON_FIELD_ERRORS_KEY, [str(item) for item in _as_list(data)]


def _as_list(data: Any) -> list[Any]:
    return data if isinstance(data, list) else [data]


def _summary(fields: Fields) -> str:
    """One sentence a person can act on: the first problem, and how many more there are."""
    name, messages = next(iter(fields.items()))
    first = messages[0] if name == api_settings.NON_FIELD_ERRORS_KEY else f"{name}: {messages[0]}"
    others = sum(len(texts) for texts in fields.values()) - 1
    return first if not others else _("%(first)s (and %(others)d more)") % {"first": first, "others": others}


def _detail(data: Any) -> str:
    return str(data["detail"]) if isinstance(data, dict) and "detail" in data else str(data)
