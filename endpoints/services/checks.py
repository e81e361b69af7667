"""What endpoints, stages and resources must look like. Each check returns the messages of one field."""

import re
from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext as _

from endpoints.models import Endpoint, Stage
from models_registry.models import Model
from training.algorithms.base import Message, gettext_noop
from training.errors import Conflict
from training.models import Project

STAGE_NAME = re.compile(r"[a-z0-9]{1,30}")
RESOURCE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
# A stage of one of these names could not be told from a resource of the default stage.
RESERVED_STAGE_NAMES = {"v1", "v2", "inference"}
RESERVED_RESOURCES = {"v1", "v2", "-"}

Errors = dict[str, list[str]]


def require(errors: Errors) -> None:
    """Raise what was found, all of it at once."""
    found = {field: messages for field, messages in errors.items() if messages}
    if found:
        raise ValidationError(found)


def field_errors(row: models.Model, *fields: str) -> Errors:
    """What the model's own fields say about length, blank and choices."""
    try:
        row.clean_fields(exclude={f.name for f in row._meta.fields} - set(fields))
    except ValidationError as error:
        return dict(error.message_dict)
    return {}


def servable(project: Project, model: Model) -> list[str]:
    """Locks the model's row, so that nobody deletes the model between this check and the new resource."""
    row = Model.objects.select_for_update().filter(pk=model.pk, project=project).first()
    if row is None:
        return [_("There is no such model in this project.")]
    if row.status != Model.Status.ACTIVE:
        return [
            _("The model is %(status)s. Only an ACTIVE model can be served.") % {"status": row.get_status_display()}
        ]
    return []


def resource_path(path: str, stage_names: Iterable[str] = ()) -> list[str]:
    """A path under the stage URL. Its first segment is neither a protocol's nor a stage's; none is "." or ".."."""
    if not isinstance(path, str) or not RESOURCE_PATH.fullmatch(path):
        return [_('The resource path starts with "/" and has only letters, digits and . _ ~ - between slashes.')]
    if len(path) > 100:
        return [_("The resource path may have at most 100 characters.")]
    first = path.split("/")[1]
    if first in RESERVED_RESOURCES:
        return [_("The resource path must not start with /v1, /v2 or /-: those are reserved.")]
    if "/." in path:  # clients resolve "/a/../b" before they ask
        return [_("No part of the resource path may start with a dot.")]
    if first in stage_names:
        return [_("The endpoint has a stage named %(name)s, so a path cannot start with it.") % {"name": first}]
    return []


def stage_name(endpoint: Endpoint, name: str) -> list[str]:
    if not isinstance(name, str) or not STAGE_NAME.fullmatch(name):
        return [_("A stage name has only lowercase letters and digits, at most 30.")]
    paths = Stage.objects.filter(endpoint=endpoint).values_list("resources__path", flat=True)
    if name in RESERVED_STAGE_NAMES:
        return [_("The name %(name)s is reserved. Choose another one.") % {"name": name}]
    if name in {path.split("/")[1] for path in paths if path}:
        return [_("%(name)s is also the start of a path of this endpoint. Choose another name.") % {"name": name}]
    if endpoint.stages.filter(name=name).exists():
        return [_("This endpoint has a stage of that name already.")]
    return []


def between(value: float, least: float, most: float) -> list[str]:
    if least <= value <= most:  # not so for NaN
        return []
    return [_("Must be between %(least)s and %(most)s.") % {"least": f"{least:g}", "most": f"{most:g}"}]


def lock(endpoint: Endpoint) -> Endpoint:
    """The endpoint's row, held until the transaction ends. Raises Conflict when it is being deleted."""
    row = Endpoint.objects.select_for_update().filter(pk=endpoint.pk).first()
    if row is None or row.status == Endpoint.Status.DELETE_IN_PROGRESS:
        raise Conflict(Message(gettext_noop("The endpoint %(name)s is being deleted."), {"name": endpoint.name}))
    return row
