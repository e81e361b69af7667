"""Whether this worker is to end: a byte shared by the trainer worker and the processes that it forks.

`manage.py trainer_worker` sets it on SIGTERM; the runners in its children look at it twice a second. Shared
memory without a lock, because it is written in a signal handler and read by processes that may be killed.
"""

from ctypes import c_bool
from multiprocessing import RawValue

_requested = RawValue(c_bool, False)


def request() -> None:
    _requested.value = True


def requested() -> bool:
    return bool(_requested.value)
