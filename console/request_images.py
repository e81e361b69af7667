"""The kept image of a recent request, as an answer of page and API."""

from django.http import Http404, HttpResponse

from endpoints import kept_images
from endpoints.models import Stage


def image_of(stage: Stage, record: int) -> HttpResponse:
    """Raises Http404 when the stage has no such record, or it has no image, or no longer."""
    row = stage.requests.filter(pk=record).first()
    file = kept_images.path(row) if row else None
    try:
        content = file.read_bytes() if file else None
    except FileNotFoundError:
        content = None
    if content is None:
        raise Http404
    return HttpResponse(content, content_type="image/jpeg", headers={"Cache-Control": "private, max-age=60"})
