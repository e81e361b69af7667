"""The commands that set up and open the door."""

import os
import subprocess
import sys

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from tests.running import ROOT
from training.models import Membership, Project


@pytest.fixture
def setup(db, capsys, monkeypatch):
    """setup(password) runs the command with CONSOLE_ADMIN_PASSWORD set and returns what it printed."""

    def run(password: str | None = None) -> str:
        if password is None:
            monkeypatch.delenv("CONSOLE_ADMIN_PASSWORD", raising=False)
        else:
            monkeypatch.setenv("CONSOLE_ADMIN_PASSWORD", password)
        call_command("console_setup")
        return capsys.readouterr().out

    return run


def test_the_first_start_makes_admin_and_a_project_and_prints_a_password_that_works(setup):
    printed = setup()
    password = printed.partition("Password:")[2].split()[0]
    user = authenticate(username="admin", password=password)
    assert user is not None
    assert len(password) >= 16
    membership = Membership.objects.get(user=user)
    assert (membership.project.name, membership.role) == ("Default", "admin")


def test_the_second_start_changes_nothing_and_prints_nothing(setup):
    setup()
    before = User.objects.values().get()
    assert setup() == ""
    assert User.objects.values().get() == before
    assert Project.objects.count() == 1


def test_a_project_that_was_renamed_is_not_made_again(setup):
    setup()
    Project.objects.update(name="Ours")
    setup()
    assert [project.name for project in Project.objects.all()] == ["Ours"]


def test_a_given_password_is_used_and_never_printed(setup):
    printed = setup("a given password")
    assert "a given password" not in printed
    assert authenticate(username="admin", password="a given password")


def test_a_password_that_is_given_later_replaces_the_old_one(setup):
    setup("the first one")
    assert setup("the first one") == ""
    printed = setup("the second one")
    assert "the second one" not in printed
    assert authenticate(username="admin", password="the second one")
    assert authenticate(username="admin", password="the first one") is None


def test_a_token_is_all_that_is_printed_and_it_opens_the_api(setup, capsys):
    setup()
    call_command("console_token", "admin")
    first = capsys.readouterr().out
    call_command("console_token", "admin")
    second = capsys.readouterr().out
    assert first.split() == [first.strip()]
    assert first != second
    for token in (first.strip(), second.strip()):
        client = APIClient(headers={"Authorization": f"Bearer {token}"})
        assert client.get("/api/v1/projects/").json()["results"][0]["name"] == "Default"


def test_no_token_for_someone_who_is_not_there_or_has_left(people):
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("console_token", "nobody")
    User.objects.filter(pk=people.editor.pk).update(is_active=False)
    with pytest.raises(CommandError, match="not active"):
        call_command("console_token", "editor")


def test_a_new_home_is_its_users_only_and_keeps_its_key(tmp_path):
    """The database has password hashes, the folders have other people's images."""
    home = tmp_path / "new" / "home"

    def key() -> str:
        code = "from console import settings; print(settings.SECRET_KEY)"
        variables = {name: value for name, value in os.environ.items() if name != "SECRET_KEY"}
        environment = {**variables, "CONSOLE_HOME": str(home)}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE
        )
        return done.stdout.decode().strip()

    first = key()
    assert len(first) >= 50
    assert key() == first == (home / "secret.key").read_text()
    assert sorted(path.name for path in home.iterdir()) == ["incoming", "secret.key"]
    assert [oct(path.stat().st_mode & 0o777) for path in (home, home / "secret.key")] == ["0o700", "0o600"]
