"""The console's settings with a home of its own for each test process."""

import atexit
import os
import shutil
import tempfile

if "CONSOLE_HOME" not in os.environ:
    os.environ["CONSOLE_HOME"] = tempfile.mkdtemp(prefix="console-test-")
    atexit.register(shutil.rmtree, os.environ["CONSOLE_HOME"], ignore_errors=True)

from console.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# A file, not memory: tests of runners and workers use it from several threads, as the processes do.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    DATABASES["default"]["TEST"] = {"NAME": str(CONSOLE_HOME / "test.sqlite3")}  # noqa: F405
WHITENOISE_AUTOREFRESH = True  # else every test client looks through all static files first
