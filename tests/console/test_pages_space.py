"""What uses the disk, what is deleted to make room, and how long ended trainings keep what they leave."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone

from endpoints import kept_images, processes
from tests.console import served
from training import retention, services
from training.models import Training


def write(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def with_checkpoints(training: Training, *steps: int, size: int = 200_000) -> Training:
    for step in steps:
        for name in ("model.safetensors", "trainer_state.json"):
            write(training.checkpoints_folder / f"checkpoint-{step}" / name, size)
    return training


@pytest.fixture
def trained(pets) -> Training:
    training = with_checkpoints(served.training(pets), 5, 10)
    write(training.folder / "train.log", 50_000)
    write(training.folder / "tensorboard" / "events", 60_000)
    write(training.folder / "model" / "model.safetensors", 100_000)
    return training


def page_of(client, project) -> str:
    answer = client.get(reverse("space", args=[project.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_page_shows_each_kind_and_the_largest_with_their_pages(editor, project, trained, pets):
    write(pets.data_folder / "train" / "a.png", 300_000)
    write(pets.folder / "upload.part", 500_000)
    page = page_of(editor, project)
    for text in ("Datasets", "Uploads under way", "Checkpoints", "TensorBoard", "Logs", "Models"):
        assert text in page
    largest = [
        page.index(reverse(kind, args=[project.pk, row.pk])) for kind, row in (("training", trained), ("dataset", pets))
    ]
    assert largest == sorted(largest)


def test_the_images_that_a_stage_keeps_are_counted(editor, project, trained):
    endpoint = served.endpoint(served.model(trained))
    write(kept_images.folder(endpoint.default_stage_id) / "a.jpg", 700_000)
    page = page_of(editor, project)
    assert re.search(r"Images of requests</span>.*?(68\d)\.\d.KB", page, re.DOTALL)
    assert f"{endpoint.name} / default" in page


def test_deleting_checkpoints_frees_their_space_at_once_and_the_page_shows_it(editor, project, trained):
    delete = reverse("checkpoints_delete", args=[project.pk, trained.pk])
    assert delete in page_of(editor, project)
    page = editor.post(delete, follow=True).content.decode()
    assert "are free again" in page
    assert delete not in page
    assert not list(trained.checkpoints_folder.iterdir())
    assert (trained.folder / "model" / "model.safetensors").exists()
    event = trained.events().get(to_status="checkpoints_removed")
    assert event.actor.username == "editor"


def test_what_a_training_still_needs_is_not_deleted_and_the_page_says_why(editor, project, pets, trained):
    user = served.training(pets, "second", "CREATE_REQUESTED", checkpoint=f"{trained.pk}/checkpoint-10")
    unfinished = with_checkpoints(served.training(pets, "third", "RUNNING"), 5)
    page = editor.post(reverse("checkpoints_delete", args=[project.pk, trained.pk]), follow=True).content.decode()
    assert user.name in page
    assert "starts from its checkpoint" in page
    page = editor.post(reverse("checkpoints_delete", args=[project.pk, unfinished.pk]), follow=True).content.decode()
    assert "stop it first" in page
    assert len(list(trained.checkpoints_folder.iterdir())) == 2
    assert len(list(unfinished.checkpoints_folder.iterdir())) == 1


def test_old_logs_of_stages_are_deleted_and_the_new_ones_stay(editor, project, endpoint):
    resource = endpoint.default_stage.resources.get()
    old = write(processes.rotated_log_path(resource.pk), 80_000)
    new = write(processes.log_path(resource.pk), 1000)
    assert reverse("logs_delete", args=[project.pk]) in page_of(editor, project)
    editor.post(reverse("logs_delete", args=[project.pk]))
    assert (old.exists(), new.exists()) == (False, True)
    assert reverse("logs_delete", args=[project.pk]) not in page_of(editor, project)


def test_a_viewer_looks_and_deletes_nothing_and_an_outsider_sees_nothing(viewer, browser_of, people, project, trained):
    delete = reverse("checkpoints_delete", args=[project.pk, trained.pk])
    assert delete not in page_of(viewer, project)
    assert viewer.post(delete).status_code == 403
    assert viewer.post(reverse("logs_delete", args=[project.pk])).status_code == 403
    outsider = browser_of(people.outsider)
    assert outsider.get(reverse("space", args=[project.pk])).status_code == 404
    assert outsider.post(delete).status_code == 404


def test_the_dashboard_warns_when_the_disk_is_nearly_full(editor, project, home, settings):
    address = reverse("dashboard", args=[project.pk])
    settings.DISK_LOW_BYTES = 0
    assert "of the disk are free" not in editor.get(address).content.decode()
    settings.DISK_LOW_BYTES = 10**18
    page = editor.get(address).content.decode()
    assert "of the disk are free" in page
    assert reverse("space", args=[project.pk]) in page


def test_an_admin_sets_the_retention_and_is_told_of_a_wrong_number(browser_of, people, editor, project):
    address, admin = reverse("retention_set", args=[project.pk]), browser_of(people.owner)
    assert editor.post(address, {"logs": 3}).status_code == 403
    assert address not in editor.get(reverse("project_settings", args=[project.pk])).content.decode()
    refused = admin.post(address, {"logs": 0, "checkpoints": "many"}).content.decode()
    assert refused.count("console-error") == 2
    saved = admin.post(address, {"logs": 3, "tensorboard": "", "checkpoints": 30}, follow=True).content.decode()
    assert "Saved." in saved
    assert 'value="30"' in saved
    project.refresh_from_db()
    assert project.retention == {"logs": 3, "tensorboard": None, "checkpoints": 30}


def test_a_training_says_what_retention_removed(editor, project, trained):
    services.project_retention_set(project=project, user=None, logs=1, tensorboard=1, checkpoints=1)
    Training.objects.update(finished_at=timezone.now() - timedelta(days=3), started_at=timezone.now())
    retention.run()
    address = reverse("training", args=[project.pk, trained.pk])
    overview, log = editor.get(address).content.decode(), editor.get(address, {"tab": "log"}).content.decode()
    assert overview.count("Removed by retention") == 3
    assert ": the log (" in log
    assert "Nothing has been written yet" not in log
    board = editor.get(reverse("tensorboard", args=[project.pk, trained.pk]))
    assert board.status_code == 410
    assert "Removed by retention" in board.content.decode()
