"""Endpoints and their keys: the pages as they come from the server."""

import re
from datetime import UTC, datetime

from django.urls import reverse
from django.utils import timezone

from endpoints.models import Endpoint, Stage
from tests.console import served


def of_stage(name: str, stage: Stage) -> str:
    return reverse(name, args=[stage.project_id, stage.endpoint_id, stage.pk])


def of_endpoint(name: str, endpoint: Endpoint, *more: str) -> str:
    return reverse(name, args=[endpoint.project_id, endpoint.pk, *more])


def test_from_a_model_the_form_is_filled_in(editor, project, model):
    form = editor.get(reverse("endpoint_create", args=[project.pk]), {"model": model.pk}).content.decode()
    assert 'name="name" value="pets model"' in form
    assert f'value="{model.pk}" selected' in form
    assert 'name="resource_path" value="/inference"' in form


def test_the_first_key_is_shown_once_and_works(editor, project, model):
    values = {"name": "pets api", "model": model.pk, "access": "key", "resource_path": "/inference"}
    answer = editor.post(reverse("endpoint_create", args=[project.pk]), values)
    text = answer.content.decode()
    key = re.search(r'<code id="new-key">([^<]+)</code>', text)[1]
    made = Endpoint.objects.get()
    assert made.keys.get().is_valid(key)
    assert f'data-address="{of_endpoint("endpoint", made)}"' in text
    assert "no-store" in answer.headers["Cache-Control"]
    again = editor.get(of_endpoint("endpoint", made)).content.decode()
    assert key not in again
    assert 'id="new-key"' not in again


def test_an_open_endpoint_has_no_key_to_show(editor, project, model):
    values = {"name": "pets api", "model": model.pk, "access": "open", "resource_path": ""}
    text = editor.post(reverse("endpoint_create", args=[project.pk]), values, follow=True).content.decode()
    assert 'id="new-key"' not in text
    made = Endpoint.objects.get()
    assert not made.keys.exists()
    assert made.default_stage.resources.get().path == "/inference"


def test_a_wrong_resource_path_is_refused_beside_its_field(editor, project, model):
    values = {"name": "pets api", "model": model.pk, "access": "key", "resource_path": "no slash"}
    text = editor.post(reverse("endpoint_create", args=[project.pk]), values).content.decode()
    assert re.search(r'id="id_resource_path_error">The resource path starts with', text)
    assert not Endpoint.objects.exists()


def test_the_endpoint_lists_its_stages_and_marks_the_default(editor, model, endpoint):
    canary = served.stage(endpoint, model, "canary", "DEPLOY_FAILED")
    Stage.objects.filter(pk=canary.pk).update(status_reason={"text": "Out of memory.", "params": {}})
    text = editor.get(of_endpoint("endpoint", endpoint)).content.decode()
    for stage in endpoint.stages.all():
        assert of_stage("stage", stage) in text
    assert text.count('class="default-mark"') == 1
    assert "Out of memory." in text
    assert f"http://testserver/stage/{endpoint.pk}" in text


def test_a_stage_is_added_made_the_default_and_the_old_one_deleted(editor, model, endpoint):
    old = endpoint.default_stage
    values = {"name": "second", "model": model.pk, "resource_path": "/inference"}
    answer = editor.post(reverse("stage_create", args=[endpoint.project_id, endpoint.pk]), values)
    new = endpoint.stages.get(name="second")
    assert answer.url == of_stage("stage", new)
    Stage.objects.filter(pk=new.pk).update(status="ACTIVE")
    editor.post(of_endpoint("endpoint_default", endpoint, new.pk))
    endpoint.refresh_from_db()
    assert endpoint.default_stage == new
    editor.post(of_stage("stage_delete", old))
    old.refresh_from_db()
    assert old.status == "DELETE_IN_PROGRESS"


def test_the_default_stage_says_why_it_cannot_be_deleted(editor, endpoint):
    text = editor.post(of_stage("stage_delete", endpoint.default_stage), follow=True).content.decode()
    assert "default is the default stage: make another stage the default first." in text


def test_an_endpoint_with_more_stages_names_those_in_the_way(editor, model, endpoint):
    canary = served.stage(endpoint, model, "canary")
    text = editor.post(of_endpoint("endpoint_delete", endpoint), follow=True).content.decode()
    assert re.search(rf'role="alert".*<a href="{of_stage("stage", canary)}" class="alert-link">canary', text, re.DOTALL)
    canary.delete()
    editor.post(of_endpoint("endpoint_delete", endpoint))
    endpoint.refresh_from_db()
    assert endpoint.status == "DELETE_IN_PROGRESS"


def test_the_list_of_stages_says_what_failed_without_the_engines_log(viewer, endpoint):
    reason = {"text": "The model %(model)s cannot be served.\n%(log)s", "params": {"model": "a", "log": "File x.py"}}
    Stage.objects.update(status="DEPLOY_FAILED", status_reason=reason)
    text = viewer.get(of_endpoint("endpoint", endpoint)).content.decode()
    assert "The model a cannot be served.<" in text
    assert "File x.py" not in text


def test_keys_are_made_shown_once_and_revoked(editor, endpoint):
    text = editor.post(f"{of_endpoint('key_create', endpoint)}?tab=keys", {"name": "camera 7"}).content.decode()
    key = re.search(r'<code id="new-key">([^<]+)</code>', text)[1]
    row = endpoint.keys.get(name="camera 7")
    assert row.is_valid(key)
    assert "camera 7" in text
    answer = editor.post(of_endpoint("key_revoke", endpoint, row.prefix), follow=True)
    row.refresh_from_db()
    assert row.revoked
    assert ">revoked<" in answer.content.decode()


def test_a_key_may_have_a_last_day_and_a_limit(editor, endpoint, settings):
    settings.TIME_ZONE = "Asia/Seoul"
    values = {"name": "camera 7", "expires_at": "2099-12-31", "calls_per_minute": "60"}
    with timezone.override("Asia/Seoul"):
        text = editor.post(f"{of_endpoint('key_create', endpoint)}?tab=keys", values).content.decode()
    row = endpoint.keys.get(name="camera 7")
    assert row.expiry_date == datetime(2099, 12, 31, 14, 59, 59, tzinfo=UTC)  # the end of that day in Seoul
    assert ">2099-12-31 23:59</time>" in text
    assert "60 calls per minute" in text
    past = {"name": "camera 8", "expires_at": "2020-01-01"}
    text = editor.post(f"{of_endpoint('key_create', endpoint)}?tab=keys", past).content.decode()
    assert re.search(r'id="id_expires_at_error">Choose a time in the future\.', text)
    assert not endpoint.keys.filter(name="camera 8").exists()


def test_a_last_day_at_the_end_of_the_calendar_is_refused_at_its_field(editor, endpoint):
    values = {"name": "camera 7", "expires_at": "9999-12-31", "calls_per_minute": "60"}
    text = editor.post(f"{of_endpoint('key_create', endpoint)}?tab=keys", values).content.decode()
    assert re.search(r'id="id_expires_at_error">Choose a time within the next 100 years, or none\.', text)
    assert 'value="camera 7"' in text
    assert not endpoint.keys.filter(name="camera 7").exists()


def test_a_key_is_rotated_and_the_new_one_shown_once(editor, endpoint):
    old, plain = endpoint.keys.model.objects.create_key(endpoint=endpoint, name="camera")
    url = f"{of_endpoint('key_rotate', endpoint, old.prefix)}?tab=keys"
    answer = editor.post(url, {"grace": "86400"})
    text = answer.content.decode()
    key = re.search(r'<code id="new-key">([^<]+)</code>', text)[1]
    assert key != plain
    assert endpoint.keys.exclude(pk=old.pk).get(name="camera").is_valid(key)
    assert "no-store" in answer.headers["Cache-Control"]
    assert "Valid until" in text
    again = editor.post(url, {"grace": "0"}).content.decode()
    assert "The key camera has been rotated already." in again
    assert 'id="new-key"' not in again
    assert key not in again


def test_the_limit_of_a_key_is_changed_and_taken_away(editor, endpoint):
    row, _plain = endpoint.keys.model.objects.create_key(endpoint=endpoint, name="camera")
    url = of_endpoint("key_limit", endpoint, row.prefix)
    assert "60 calls per minute" in editor.post(url, {"calls_per_minute": "60"}, follow=True).content.decode()
    refused = editor.post(f"{url}?tab=keys", {"calls_per_minute": "-1"}).content.decode()
    field = f"id_calls_per_minute_of_{row.prefix}"
    assert re.search(rf'id="{field}_error">Ensure this value is greater than or equal to 1\.', refused)
    assert re.search(rf'<input[^>]* value="-1"[^>]* id="{field}"', refused)  # what was typed is still there
    assert '<details class="key-more" open>' in refused
    assert "60 calls per minute" in refused
    assert "60 calls per minute" not in editor.post(url, {"calls_per_minute": ""}, follow=True).content.decode()


def test_a_viewer_changes_no_key_and_an_editor_none_of_another_endpoint(viewer, editor, endpoint, model):
    row, plain = endpoint.keys.model.objects.create_key(endpoint=endpoint, name="camera")
    other = served.endpoint(model, "other api")
    for name, values in (("key_rotate", {"grace": "0"}), ("key_limit", {"calls_per_minute": "1"}), ("key_revoke", {})):
        assert viewer.post(of_endpoint(name, endpoint, row.prefix), values).status_code == 403
        assert editor.post(of_endpoint(name, other, row.prefix), values).status_code == 404
    row.refresh_from_db()
    assert (row.is_valid(plain), row.revoked, row.calls_per_minute) == (True, False, None)


def test_two_keys_of_one_name_are_refused(editor, endpoint):
    endpoint.keys.model.objects.create_key(endpoint=endpoint, name="camera")
    text = editor.post(f"{of_endpoint('key_create', endpoint)}?tab=keys", {"name": "camera"}).content.decode()
    assert "The endpoint has a key of that name already." in text
    assert endpoint.keys.count() == 1
