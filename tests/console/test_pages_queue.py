"""The queue on the pages: place, expected start, priority."""

import re

import pytest
from django.urls import reverse

from tests.console import served
from training import heartbeats
from training.models import Training


@pytest.fixture
def queued(pets) -> Training:
    return served.training(pets, "next", "CREATE_REQUESTED")


def text_of(client, training, language="en") -> str:
    url = reverse("training", args=[training.project_id, training.pk])
    text = client.get(url, HTTP_ACCEPT_LANGUAGE=language).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)).replace("\xa0", " ")


def test_a_queued_training_shows_its_place_and_says_when_nothing_is_known(editor, queued, pets):
    behind = served.training(pets, "later", "CREATE_REQUESTED", priority=-1)
    text = text_of(editor, behind)
    assert "In the queue: 1 training is before it. Expected start: not known yet" in text
    assert "No. 1 in the queue" in text  # in the list's rows
    assert "No. 2 in the queue · Priority: Low" in text
    assert "예상 시작: 아직 알 수 없음" in text_of(editor, behind, "ko")


def test_the_expected_start_is_told_as_about(editor, queued, pets):
    heartbeats.beat("training", 1)
    assert "In the queue: it is next. Expected start: soon" in text_of(editor, queued)
    served.training(pets, "busy", "RUNNING", eta_seconds=630)
    assert "Expected start: in about 10 minutes" in text_of(editor, queued)
    assert "예상 시작: 약 10분 후" in text_of(editor, queued, "ko")


def test_an_editor_changes_the_priority_of_a_queued_training_and_a_viewer_cannot(editor, viewer, queued):
    url = reverse("training_priority", args=[queued.project_id, queued.pk])
    assert url in editor.get(reverse("training", args=[queued.project_id, queued.pk])).content.decode()
    assert url not in viewer.get(reverse("training", args=[queued.project_id, queued.pk])).content.decode()
    assert viewer.post(url, {"priority": "1"}).status_code == 403
    editor.post(url, {"priority": "1"})
    queued.refresh_from_db()
    assert queued.priority == 1
    text = text_of(editor, queued)
    assert "Priority: High" in text


@pytest.mark.parametrize(("status", "given"), [("CREATE_REQUESTED", "7"), ("CREATE_REQUESTED", ""), ("RUNNING", "1")])
def test_what_cannot_be_set_is_said_on_the_page(editor, pets, status, given):
    training = served.training(pets, "x", status)
    answer = editor.post(
        reverse("training_priority", args=[training.project_id, training.pk]), {"priority": given}, follow=True
    )
    training.refresh_from_db()
    assert training.priority == 0
    assert ("no longer in the queue" if status == "RUNNING" else "The priority is 1") in answer.content.decode()


def test_the_form_takes_a_priority_and_a_copy_brings_it(editor, project, pets):
    form = {"name": "run", "algorithm": pets.algorithm, "dataset": pets.pk, "timeout_minutes": "60", "priority": "-1"}
    editor.post(reverse("training_create", args=[project.pk]), form)
    made = Training.objects.get()
    assert made.priority == -1
    copy = editor.get(reverse("training_copy", args=[project.pk, made.pk])).content.decode()
    assert '<option value="-1" selected>Low</option>' in copy
