"""Names and descriptions, checked alike for everything that a project owns."""

import re
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext as _

from training.models import Project

Errors = dict[str, list[Any]]
NAME_LENGTH = 50
DESCRIPTION_LENGTH = 255
CONTROL = re.compile("[\x01-\x1f\x7f-\x9f\u2028\u2029]")  # a name is one line, on pages as in logs and file names


def name_errors(model: type[models.Model], name: Any, description: Any = "", *, project: Project | None) -> Errors:
    """What is wrong with a name and a description, by field. `project` is None for a project's own name.

    Errors of other fields are added by the caller, so that a person hears of all of them at once.
    """
    errors: Errors = {}
    if problem := text_problem(name, NAME_LENGTH, required=True):
        errors["name"] = [problem]
    elif model._default_manager.filter(name=name.strip(), **({"project": project} if project else {})).exists():
        errors["name"] = [taken(name)]
    if problem := text_problem(description, DESCRIPTION_LENGTH):
        errors["description"] = [problem]
    return errors


def text_problem(value: Any, length: int, *, required: bool = False) -> str:
    """A sentence when `value` is not a text of at most `length` characters, or as a name not one line, else ""."""
    if not isinstance(value, str) or "\x00" in value:
        return _("This must be a text.")
    if required and not value.strip():
        return _("This field is required.")
    if required and CONTROL.search(value.strip()):
        return _("Line breaks and other control characters are not allowed.")
    if len(value.strip()) > length:
        return _("At most %(length)s characters are allowed (it has %(now)s).") % {
            "length": length,
            "now": len(value.strip()),
        }
    return ""


def taken(name: str) -> str:
    return _("The name “%(name)s” is already taken.") % {"name": name.strip()}


def raise_if(errors: Errors) -> None:
    """Raise all of `errors` as one ValidationError; do nothing when there is none."""
    if errors:
        raise ValidationError(errors)
