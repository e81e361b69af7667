"""What stays out of the log. Settings load this before any app, so it imports nothing of theirs."""

import logging


class NotReadyz(logging.Filter):
    """Keeps a 503 of /readyz out: whoever starts a console asks twice a second until it is ready."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(getattr(record, "request", None), "path", None) != "/readyz"
