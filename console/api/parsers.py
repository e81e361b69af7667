"""JSON on its way in."""

import codecs
import json
import math
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

MOST_DIGITS = 300  # of a whole number: a larger one is no float, and Python refuses to read thousands of them


class JSON(JSONParser):
    """Lets NaN and infinity through, so that the field that has one is refused by its name."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        encoding = (parser_context or {}).get("encoding", settings.DEFAULT_CHARSET)
        try:
            return json.load(codecs.getreader(encoding)(stream), parse_int=_whole)
        except ValueError as error:
            raise ParseError(_("The body is not JSON: %(why)s.") % {"why": error}) from error
        except RecursionError as error:
            raise ParseError(_("The JSON is nested too deeply.")) from error


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= MOST_DIGITS else math.inf
