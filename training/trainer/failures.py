"""Why a training failed, in plain words."""

from training import disk
from training.algorithms.base import Message, gettext_noop

_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "No executable batch size found",
    "bad_alloc",  # what C++ says, within backward()
    "could not create a primitive",  # what oneDNN says of its scratch memory
    "killed by signal: Killed",  # a data loader's process
)


class Failure(Exception):
    """An expected failure: the person is told `message`, without a traceback."""

    def __init__(self, code: str, message: Message) -> None:
        super().__init__(str(message))
        self.code = code
        self.message = message


def is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in _OUT_OF_MEMORY)


def explain(error: Exception) -> tuple[str, Message]:
    """Any exception -> (code, what to tell the person). The traceback is in the log."""
    if isinstance(error, Failure):
        return error.code, error.message
    if is_out_of_memory(error):
        return "out_of_memory", Message(
            gettext_noop(
                "The training ran out of memory. Choose a smaller batch size or smaller images, "
                "or stop what else uses the memory of this machine."
            )
        )
    if why := disk.reason(error):
        then = Message(gettext_noop("Then resume the training."))
        return "disk_full" if why == disk.FULL else "disk", Message("%(one)s %(other)s", {"one": why, "other": then})
    return "crash", Message(
        gettext_noop("The trainer failed unexpectedly: %(kind)s: %(error)s. The log has the details."),
        {"kind": type(error).__name__, "error": str(error)[:500]},
    )
