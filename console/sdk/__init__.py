"""A small client of the REST API, with nothing but the standard library."""

from console.sdk.client import ApiError, Client

__all__ = ["ApiError", "Client"]
