"""A queued training in Chromium: its priority is changed from the keyboard, and polling does not undo the choice."""

from django.urls import reverse
from playwright.sync_api import Page, expect

from tests.console import served


def test_the_priority_is_changed_from_the_keyboard(open_page, people, project, pets, axe):
    served.training(pets, "older", "CREATE_REQUESTED")
    row = served.training(pets, "newer", "CREATE_REQUESTED")
    page: Page = open_page(people.editor, viewport={"width": 400, "height": 800})
    page.goto(reverse("training", args=[project.pk, row.pk]))
    expect(page.get_by_text("In the queue: 1 training is before it.")).to_be_visible()
    choice = page.get_by_label("Priority")
    choice.focus()
    page.keyboard.press("h")  # High
    with page.expect_response(lambda answer: "seen=" in answer.url):  # the progress has asked for itself
        pass
    expect(choice).to_have_value("1")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("In the queue: it is next.")).to_be_visible()
    expect(page.get_by_text("No. 1 in the queue · Priority: High")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert axe(page) == []
