"""How the processes of a test run share its tests: which stay together, and which come first.

pytest-xdist has a mark for the first of these (xdist_group), but writes it where pytest 9.2 does not look any more.
"""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Tests that one process runs, one after the other: they share a console or an engine that takes long to start, or would
# disturb each other. A test whose id begins so belongs to that group; every other test goes wherever there is room.
# Most in tests/reliability wait for something while a trainer of theirs takes a whole core: so they go one by one.
GROUPS = {
    "tests/reliability/test_engine_kills.py": "engine kills",
    "tests/reliability/": "reliability",
    "tests/browser/test_journey.py": "journey",
    "tests/browser/test_upload_stalls.py": "upload stalls",
    "tests/clients/": "clients",
    "tests/endpoints/test_malformed.py": "malformed",
    "tests/training/test_early_stopping.py": "early stopping",
}
# The longest first: what begins last should be short, or one process works while the others have nothing left to do.
# None of them uses a test database, so pytest-django's order of those that do stays as it is.
FIRST = (
    "tests/reliability/test_hosts.py",
    "tests/reliability/test_full_database.py",
    "tests/reliability/test_engine_kills.py",
    "tests/reliability/",
    "tests/browser/test_journey.py",
    "tests/browser/test_upload_stalls.py",
    "tests/console/test_demo.py::test_the_journey",
    "tests/console/test_launcher.py",
    "tests/clients/",
    "tests/engine/test_open_inference_models.py",
    "tests/models_registry/test_export.py",
    "tests/training/test_trainer",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every process sorts them alike; a sort keeps the order of what it finds equal."""
    items.sort(key=lambda item: next((n for n, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST)))


class Spread(LoadScopeScheduling):
    """Hands out the groups and the other tests in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for start, group in GROUPS.items() if nodeid.startswith(start)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> LoadScopeScheduling:
    config.option.loadscopereorder = False  # else the groups with most tests come first
    return Spread(config, log)
