"""Login, language, projects, members, tokens, dashboard."""

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from endpoints.models import Endpoint
from tests.conftest import PASSWORD
from training import lifecycle
from training.algorithms.base import Message
from training.models import Dataset, Membership, Project, Training


def test_login_leads_to_where_one_wanted_to_go(people, project):
    client = Client()
    wanted = reverse("datasets", args=[project.pk])
    page = client.get(wanted, follow=True)
    assert page.redirect_chain[0][0] == f"/login/?next={wanted}"
    values = {"username": "viewer", "password": PASSWORD, "next": wanted}
    assert client.post("/login/", values | {"password": "wrong"}).status_code == 200
    assert client.post("/login/", values).url == wanted
    assert client.post("/logout/").url == "/login/"
    assert client.get(wanted).status_code == 302


def test_home_goes_on_with_the_project_that_was_open_last(browser_of, people, project):
    client = browser_of(people.viewer)
    newer = Project.objects.create(name="Newer")
    Membership.objects.create(project=newer, user=people.viewer)
    assert client.get("/").url == reverse("dashboard", args=[newer.pk])
    client.get(reverse("datasets", args=[project.pk]))
    assert client.get("/").url == reverse("dashboard", args=[project.pk])
    Membership.objects.get(project=project, user=people.viewer).delete()
    assert client.get("/").url == reverse("dashboard", args=[newer.pk])


def test_somebody_without_a_project_makes_one_and_is_its_admin(browser_of, people):
    client = browser_of(people.outsider)
    assert client.get("/").url == reverse("project_create")
    assert client.get(reverse("project_create")).status_code == 200
    answer = client.post(reverse("project_create"), {"name": "Mine"})
    mine = Project.objects.get()
    assert answer.url == reverse("dashboard", args=[mine.pk])
    assert mine.memberships.get().role == "admin"
    assert "id_name_error" in client.post(reverse("project_create"), {"name": "Mine"}).content.decode()


def test_only_admins_decide_about_members(browser_of, people, project):
    url = reverse("member_set", args=[project.pk])
    assert browser_of(people.editor).post(url, {"username": "outsider", "role": "admin"}).status_code == 403
    admin = browser_of(people.owner)
    admin.post(url, {"username": "outsider", "role": "viewer"})
    assert Membership.objects.get(project=project, user=people.outsider).role == "viewer"
    admin.post(url, {"username": "outsider", "role": "editor"})
    assert Membership.objects.get(project=project, user=people.outsider).role == "editor"
    unknown = admin.post(url, {"username": "nobody", "role": "viewer"}).content.decode()
    assert "There is nobody with the username nobody." in unknown
    admin.post(reverse("member_remove", args=[project.pk, people.outsider.pk]))
    assert not Membership.objects.filter(project=project, user=people.outsider).exists()


def test_the_last_admin_stays(browser_of, people, project):
    admin = browser_of(people.owner)
    answer = admin.post(reverse("member_remove", args=[project.pk, people.owner.pk]), follow=True)
    assert Membership.objects.get(project=project, user=people.owner).role == "admin"
    assert "alert-danger" in answer.content.decode()
    answer = admin.post(reverse("member_set", args=[project.pk]), {"username": "owner", "role": "viewer"})
    assert Membership.objects.get(project=project, user=people.owner).role == "admin"
    assert "alert-danger" in answer.content.decode()


def test_a_token_is_shown_once_works_and_is_refused_once_revoked(browser_of, people, project):
    client = browser_of(people.viewer)
    made = client.post(reverse("tokens"), {"days": "30"}).content.decode()
    token = made.split('<code id="token">')[1].split("<")[0]
    rest = APIClient(headers={"Authorization": f"Bearer {token}"})
    assert rest.get("/api/v1/datasets/").status_code == 200
    later = client.get(reverse("tokens")).content.decode()
    assert token not in later
    revoke = later.split('action="/account/tokens/')[1].split('"')[0]
    assert browser_of(people.owner).post(f"/account/tokens/{revoke}").status_code == 404
    client.post(f"/account/tokens/{revoke}")
    assert rest.get("/api/v1/datasets/").status_code == 401


def test_the_language_is_the_browsers_until_one_is_chosen(browser_of, people, project):
    client, url = browser_of(people.viewer), reverse("dashboard", args=[project.pk])
    assert '<html lang="ko">' in client.get(url, headers={"Accept-Language": "ko-KR,ko;q=0.9"}).content.decode()
    client.post(reverse("set_language"), {"language": "en", "next": url})
    assert '<html lang="en">' in client.get(url, headers={"Accept-Language": "ko-KR"}).content.decode()


def test_an_empty_project_is_led_step_by_step(browser_of, people, project):
    editor, url = browser_of(people.editor), reverse("dashboard", args=[project.pk])

    def current() -> str:
        page = editor.get(url).content.decode()
        return page.split('aria-current="step"')[1].split("</li>")[0] if 'aria-current="step"' in page else ""

    assert reverse("dataset_create", args=[project.pk]) in current()
    values = {"project": project, "algorithm": "image_classification"}
    Dataset.objects.create(name="d", status="READY", **values)
    assert reverse("training_create", args=[project.pk]) in current()
    Training.objects.create(name="t", dataset_name="d", status="COMPLETE", **values)
    assert reverse("trainings", args=[project.pk]) in current()
    Endpoint.objects.create(project=project, name="e")
    assert current() == ""


def test_the_dashboard_tells_what_happened_and_links_to_what_is_left(browser_of, people, project):
    kept, gone = (
        Dataset.objects.create(project=project, name=name, algorithm="object_detection", status="VALIDATING")
        for name in ("kept", "gone")
    )
    reason = Message("%(count)s problems were found.", {"count": 3})
    for dataset in (kept, gone):
        lifecycle.move(dataset, "INVALID", reason=reason, actor=people.editor)
    gone.delete()
    page = browser_of(people.viewer).get(reverse("dashboard", args=[project.pk])).content.decode()
    assert f'href="{reverse("dataset", args=[project.pk, kept.pk])}">kept</a>' in page
    assert "<strong>gone</strong>" in page


def test_the_menu_marks_where_one_is(browser_of, people, project):
    client = browser_of(people.viewer)
    for name in ("dashboard", "datasets", "experiments", "trainings", "models", "endpoints"):
        url = reverse(name, args=[project.pk])
        menu = client.get(url).content.decode().split('class="console-nav"')[1].split("</ul>")[0]
        assert menu.count("aria-current") == 1
        assert f'href="{url}" aria-current="page"' in menu


@pytest.mark.parametrize("path", ["/nothing/", "/projects/nothing/"])
def test_the_page_for_nothing_has_the_menu(browser_of, people, project, path):
    answer = browser_of(people.viewer).get(path)
    assert answer.status_code == 404
    assert reverse("datasets", args=[project.pk]) in answer.content.decode()


def test_a_form_without_its_token_is_refused_in_words(people, project):
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.owner)
    answer = client.post(reverse("project_create"), {"name": "Forged"})
    assert answer.status_code == 403
    assert "Nothing was changed." in answer.content.decode()
    assert not Project.objects.filter(name="Forged").exists()


def test_what_only_a_button_may_ask_for_is_explained_to_who_opens_it_as_a_page(browser_of, people, project):
    answer = browser_of(people.editor).get(reverse("logs_delete", args=[project.pk]), headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert "press the button again" in answer.text
    assert reverse("datasets", args=[project.pk]) in answer.text  # the menu


def test_a_failure_of_the_console_says_so(browser_of, people, project, settings):
    settings.NODE_MODULES = project.pk  # not a path: the icons of every page fail
    client = browser_of(people.viewer)
    client.raise_request_exception = False
    from console.templatetags import console

    console._svg.cache_clear()
    answer = client.get(reverse("dashboard", args=[project.pk]))
    assert answer.status_code == 500
    assert "This is not your fault." in answer.content.decode()
