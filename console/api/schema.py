"""The OpenAPI document: what the generator cannot read off the views."""

from typing import Any

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "fields"],
            "properties": {
                "code": {"type": "string", "description": "stable, for programs: invalid, conflict, not_found, ..."},
                "message": {"type": "string", "description": "for a person, in the language of the request"},
                "fields": {
                    "type": "object",
                    "description": "the messages by field, e.g. hyperparameters.learning_rate; for a conflict, "
                    "the objects in the way by their kind",
                    "additionalProperties": {"type": "array", "items": {"type": "string"}},
                },
            },
        }
    },
}


def add_errors(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Every operation may answer with an error, always in the same shape."""
    result["components"]["schemas"]["Error"] = ERROR
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = {"description": "Refused, or failed.", "content": content}
    return result
