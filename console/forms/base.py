"""A form whose last word is a service's."""

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError

from console.answers import explain
from training.errors import ServiceError

T = TypeVar("T")
CLASSES: dict[type[forms.Widget], str] = {
    forms.Select: "form-select",
    forms.CheckboxInput: "form-check-input",
    forms.RadioSelect: "form-selectgroup-input",
}


class ServiceForm(forms.Form):
    """Fields look the same everywhere, and what a service refuses appears beside its field."""

    required_css_class = "required"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            css = CLASSES.get(type(field.widget), "form-control")
            field.widget.attrs["class"] = f"{field.widget.attrs.get('class', '')} {css}".strip()

    def call(self, service: Callable[..., T], **arguments: Any) -> T | None:
        """The service's result, or None when it refused: then the form has its errors."""
        try:
            return service(**arguments)
        except ValidationError as error:
            self.refuse(error)
        except ServiceError as error:
            self.add_error(None, explain(error))
        return None

    def refuse(self, error: ValidationError) -> None:
        """Put each message beside its field; one of a field that the form does not have goes on top."""
        by_field = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
        for name, messages in by_field.items():
            for text in messages:
                self.add_error(name if name in self.fields else None, text)
