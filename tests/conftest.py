"""The people and the project that every test may use. `owner` is the project's admin, `outsider` no member of it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from django.contrib.auth.models import User
from django.test import Client
from knox.models import AuthToken
from rest_framework.test import APIClient

import tests.exported  # noqa: F401 - before any worker starts: it makes the folder that all of them share
from tests.broken.summary import pytest_terminal_summary  # noqa: F401 - pytest finds the hook under this name
from tests.spread import pytest_collection_modifyitems, pytest_xdist_make_scheduler  # noqa: F401 - hooks too
from training.models import Membership, Project, Role

PASSWORD = "correct horse battery"


class People(NamedTuple):
    owner: User
    editor: User
    viewer: User
    outsider: User


def use_home(settings, home: Path) -> Path:
    """Make an empty folder the CONSOLE_HOME of this test."""
    settings.CONSOLE_HOME = home
    settings.RUN_FOLDER = home / "run"
    settings.FILE_UPLOAD_TEMP_DIR = home / "incoming"
    for folder in (settings.RUN_FOLDER, settings.FILE_UPLOAD_TEMP_DIR):
        folder.mkdir()
    return home


@pytest.fixture
def home(settings, tmp_path: Path) -> Path:
    """A CONSOLE_HOME of this test alone."""
    return use_home(settings, tmp_path)


@pytest.fixture
def people(db) -> People:
    return People(*(User.objects.create_user(name, password=PASSWORD) for name in People._fields))


@pytest.fixture
def project(people: People) -> Project:
    """Owner (admin), editor and viewer are members of it; the outsider is not."""
    project = Project.objects.create(name="Road signs")
    for user, role in ((people.owner, Role.ADMIN), (people.editor, Role.EDITOR), (people.viewer, Role.VIEWER)):
        Membership.objects.create(project=project, user=user, role=role)
    return project


@pytest.fixture
def other_project(people: People) -> Project:
    """The outsider's own."""
    project = Project.objects.create(name="Elsewhere")
    Membership.objects.create(project=project, user=people.outsider, role=Role.ADMIN)
    return project


@pytest.fixture
def api() -> Callable[[User], APIClient]:
    """api(people.editor) is a REST client that sends a token of that person."""

    def client(user: User) -> APIClient:
        _, token = AuthToken.objects.create(user)
        rest = APIClient()
        rest.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
        return rest

    return client


@pytest.fixture
def browser_of() -> Callable[[User], Client]:
    """browser_of(people.editor) is a Django client that is logged in as that person."""

    def client(user: User) -> Client:
        django = Client()
        django.force_login(user)
        return django

    return client
