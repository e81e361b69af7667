"""`manage.py console_setup`: the first user and the first project. Runs at every start; does each thing once."""

import os
import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import transaction

from training.services import project_create

USERNAME = "admin"
PROJECT = "Default"


class Command(BaseCommand):
    help = (
        "Make the user admin and a first project if there is no such user. CONSOLE_ADMIN_PASSWORD is the password; "
        "without it a random one is printed, once. Set later, it replaces the password that admin has."
    )

    def handle(self, **options: Any) -> None:
        password = os.environ.get("CONSOLE_ADMIN_PASSWORD", "")
        user = get_user_model().objects.filter(username=USERNAME).first()
        if user is None:
            self._create(password)
        elif password and not user.check_password(password):
            user.set_password(password)
            user.save(update_fields=["password"])
            self.stdout.write(f"The password of {USERNAME} is now the one in CONSOLE_ADMIN_PASSWORD.")

    def _create(self, given: str) -> None:
        password = given or secrets.token_urlsafe(12)
        with transaction.atomic():  # both or neither: an interrupted first start begins again
            user = get_user_model().objects.create_user(USERNAME, password=password)
            project_create(name=PROJECT, owner=user)
        if given:
            self.stdout.write(f"Made the user {USERNAME}; its password is the one in CONSOLE_ADMIN_PASSWORD.")
        else:
            self.stdout.write(f"\n  User: {USERNAME}   Password: {password}   (shown this once)\n")
