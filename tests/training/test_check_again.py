"""A failure that is the console's own keeps the zip, and the check is ordered again instead of a second upload."""

import errno

import pytest
from django_q.models import OrmQ

from tests.conftest import use_home
from tests.corpus import classification_files, write_zip
from tests.disks import fill, small_disk
from training import dataset_files, ingest, mends, services, space
from training.algorithms.base import Message
from training.errors import Conflict
from training.models import Dataset

pytestmark = pytest.mark.django_db
CAT_IN_TEXT = {"train/cat/text.png": b"text"}
FULL = OSError(errno.ENOSPC, "full")


@pytest.fixture
def upload(home, project, people, tmp_path_factory):
    """upload(more files) -> a VALIDATING dataset."""

    def send(more=(), name="pets") -> Dataset:
        path = write_zip(tmp_path_factory.mktemp("zip") / "a.zip", classification_files() | dict(more), compression=8)
        with path.open("rb") as file:
            return services.dataset_create(
                project=project, user=people.editor, name=name, algorithm="image_classification", file=file
            )

    return send


def ingested(dataset: Dataset) -> Dataset:
    ingest.run(dataset.pk)
    dataset.refresh_from_db()
    return dataset


def failed(dataset: Dataset, monkeypatch, error: Exception = FULL) -> Dataset:
    """INVALID, for a reason that its zip has nothing to do with."""

    def broken(*_args: object, **_more: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(mends, "carry_out", broken)
        ingested(dataset)
    assert dataset.status == "INVALID"
    return dataset


def reason(dataset: Dataset) -> str:
    return str(Message.from_json(dataset.status_reason))


@pytest.mark.parametrize(
    ("count", "size"),
    [(30, 100_000), (400, 100)],  # told before it is unpacked; told by the disk, which counts whole pages
)
def test_a_zip_that_met_a_full_disk_is_ready_once_there_is_room(
    settings, tmp_path, project, people, upload, count, size, django_capture_on_commit_callbacks
):
    more = {f"train/cat/{number}.bin": number.to_bytes(2) * (size // 2) for number in range(count)}
    with small_disk(tmp_path / "small", "5m") as home:
        use_home(settings, home)
        dataset = upload(more)
        ballast = fill(home, leave=1_200_000)
        ingested(dataset)
        assert dataset.status == "INVALID"
        assert "Make room" in reason(dataset)
        assert "Check again" in reason(dataset)
        dataset_files.sweep()
        assert dataset.upload_path.exists()
        ballast.unlink()
        OrmQ.objects.all().delete()
        with django_capture_on_commit_callbacks(execute=True):
            services.dataset_check(dataset=dataset, user=people.editor)
        assert (dataset.status, dataset.status_reason, dataset.report) == ("VALIDATING", None, [])
        assert [row.task["args"] for row in OrmQ.objects.all()] == [(dataset.pk,)]
        assert ingested(dataset).status == "READY", dataset.report
        assert not dataset.upload_path.exists()
    events = [(event.to_status, event.actor) for event in dataset.events().order_by("id")]
    assert [status for status, _actor in events] == ["VALIDATING", "INVALID", "VALIDATING", "READY"]
    assert events[2][1] == people.editor


def test_the_page_of_the_disk_counts_the_zip_and_deletion_frees_it(upload, project, people, monkeypatch):
    dataset = failed(upload({"train/cat/noise.bin": bytes(100_000)}), monkeypatch)
    with dataset.upload_path.open("ab") as file:
        file.write(bytes(200_000))
    (part,) = [part for part in space.parts(project) if part.kind == "uploads"]
    assert (part.id, part.bytes >= 200_000) == (dataset.pk, True)
    services.dataset_delete(dataset=dataset, user=people.editor)
    dataset_files.remove(dataset.pk)
    assert list(space.parts(project)) == []


def test_after_a_crash_it_says_to_look_at_the_log(upload, people, monkeypatch):
    dataset = failed(upload(), monkeypatch, RuntimeError("bug"))
    assert "log" in reason(dataset)
    assert "Check again" in reason(dataset)
    services.dataset_check(dataset=dataset, user=people.editor)
    assert ingested(dataset).status == "READY"


def test_a_zip_that_was_given_up_has_all_its_attempts_again(upload, people):
    dataset = upload()
    (dataset.folder / "attempts").write_bytes(b"." * ingest.MAX_ATTEMPTS)  # as those that were killed left it
    assert "Check again" in reason(ingested(dataset))
    (dataset.folder / "attempts").write_bytes(b"." * ingest.MAX_ATTEMPTS)  # killed between the verdict and the removal
    services.dataset_check(dataset=dataset, user=people.editor)
    assert ingested(dataset).status == "READY"


def test_a_zip_that_is_at_fault_is_judged_when_it_is_checked_again(upload, people, monkeypatch):
    dataset = failed(upload(CAT_IN_TEXT), monkeypatch)
    services.dataset_check(dataset=dataset, user=people.editor)
    assert [row["code"] for row in ingested(dataset).report if row["level"] == "error"] == ["not_an_image"]
    assert not dataset.upload_path.exists()


def test_a_mended_version_is_checked_again_from_the_version_before(upload, people, monkeypatch):
    first = ingested(upload({"train/bird/.keep": b""}))
    assert services.dataset_mends(first) == ["empty_label"]
    second = services.dataset_mend(dataset=first, user=people.editor, mends=["empty_label"])
    failed(second, monkeypatch)
    assert services.dataset_can_check(second)
    services.dataset_check(dataset=second, user=people.editor)
    assert ingested(second).status == "READY"
    assert second.mends == ["empty_label"]


def test_what_was_judged_or_is_at_work_is_not_checked_again(upload, people, monkeypatch):
    at_fault, waiting, ready = upload(CAT_IN_TEXT), upload(name="waiting"), upload(name="ready")
    gone = failed(upload(name="gone"), monkeypatch)
    gone.upload_path.unlink()
    for dataset in (ingested(at_fault), waiting, ingested(ready), gone):
        before = dataset.status
        assert not services.dataset_can_check(dataset)
        with pytest.raises(Conflict, match=dataset.name):
            services.dataset_check(dataset=dataset, user=people.editor)
        dataset.refresh_from_db()
        assert dataset.status == before


def test_two_who_order_it_at_once_order_it_once(upload, people, monkeypatch):
    dataset = failed(upload(), monkeypatch)
    same = Dataset.objects.get(pk=dataset.pk)
    services.dataset_check(dataset=dataset, user=people.editor)
    with pytest.raises(Conflict):
        services.dataset_check(dataset=same, user=people.editor)
    assert dataset.events().filter(to_status="VALIDATING").count() == 2
