"""What can be imported, arranged for the page and the API."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console.templatetags.console import message
from training import sources

KINDS = {"folder": _("A folder of the server"), "s3": _("S3-compatible storage")}


def kinds() -> list[tuple[str, Any]]:
    """[(key, what a page calls it)] of what this console has set up."""
    return [(kind, KINDS[kind]) for kind in sources.available()]


def browse(kind: str, where: str) -> dict[str, Any]:
    """One folder: {"kind", "where", "trail" of (name, where), "entries", "problem" in words or "", "can_import"}.

    Of a place that is none the trail is the way back: the top.
    """
    shown: dict[str, Any] = {"kind": kind, "where": where, "entries": [], "problem": "", "can_import": False}
    try:
        shown["entries"] = sources.open_source(kind, where).listing()
    except sources.SourceError as error:
        shown["problem"] = message(error.message.as_json())
    except ConnectionError:
        shown["problem"] = gettext("The storage does not answer. Try again later.")
    if shown["problem"]:
        return {**shown, "trail": _trail(kind, "")}
    return {**shown, "trail": _trail(kind, where), "can_import": kind == "s3" or bool(where)}


def _trail(kind: str, where: str) -> list[tuple[str, str]]:
    """The way from the top to this folder."""
    if kind == "s3":
        top, at, rest = settings.IMPORT_S3_BUCKET, "", where
    else:
        root = next((r for r in settings.IMPORT_ROOTS if where == r or where.startswith(f"{r.rstrip('/')}/")), "")
        top, at, rest = gettext("Allowed folders"), root, where.removeprefix(root)
    trail = [(top, "")] + ([(at, at)] if at else [])
    for part in filter(None, rest.split("/")):
        at = f"{at}{part}/" if kind == "s3" else f"{at.rstrip('/')}/{part}"
        trail.append((part, at))
    return trail
