"""Why a training failed, in plain words."""

from training.algorithms.base import Message, gettext_noop

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "No executable batch size found")


class Failure(Exception):
    """An expected failure: the person is told `message`, without a traceback."""

    def __init__(self, code: str, message: Message) -> None:
        super().__init__(str(message))
        self.code = code
        self.message = message


def explain(error: Exception) -> tuple[str, Message]:
    """Any exception -> (code, what to tell the person). The traceback is in the log."""
    if isinstance(error, Failure):
        return error.code, error.message
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in _OUT_OF_MEMORY):
        return "out_of_memory", Message(
            gettext_noop(
                "The training ran out of memory. Choose a smaller batch size or smaller images, "
                "or stop what else uses the memory of this machine."
            )
        )
    if isinstance(error, OSError) and error.errno == 28:
        return "disk_full", Message(gettext_noop("The disk is full. Free some space, then resume the training."))
    return "crash", Message(
        gettext_noop("The trainer failed unexpectedly: %(kind)s: %(error)s. The log has the details."),
        {"kind": type(error).__name__, "error": str(error)[:500]},
    )
