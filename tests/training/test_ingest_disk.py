"""The ingest on a disk that takes no more: the dataset is INVALID with the reason, and what was unpacked is gone."""

import pytest

from tests.conftest import use_home
from tests.corpus import classification_files, write_zip
from tests.disks import fill, small_disk
from training import ingest, services
from training.algorithms.base import Message

pytestmark = pytest.mark.django_db


@pytest.fixture
def home(settings, tmp_path):
    with small_disk(tmp_path / "small", "4m") as folder:
        yield use_home(settings, folder)


@pytest.mark.parametrize(
    ("count", "size", "words"),
    [(30, 100_000, "Make room"), (400, 100, "disk is full")],  # the disk counts whole pages, so small files fill it
)
def test_a_zip_that_cannot_be_unpacked_for_want_of_room(home, project, people, tmp_path, count, size, words):
    more = {f"train/cat/{number}.bmp": number.to_bytes(2) * (size // 2) for number in range(count)}
    path = write_zip(tmp_path / "a.zip", classification_files() | more, compression=8)
    with path.open("rb") as file:
        dataset = services.dataset_create(
            project=project, user=people.editor, name="pets", algorithm="image_classification", file=file
        )
    fill(home, leave=1_000_000)
    ingest.run(dataset.pk)
    dataset.refresh_from_db()
    assert dataset.status == "INVALID"
    reason = str(Message.from_json(dataset.status_reason))
    assert dataset.upload_path.exists()
    assert words in reason
    assert not [path.name for path in dataset.folder.iterdir() if path.name.startswith("data")]
