"""The real ingest of every zip of the corpus: exactly what is wrong is named, and nothing half-made is left."""

from pathlib import Path

import pytest

from tests.broken import archive, classification, damaged, detection, good, images, names, segmentation
from tests.broken.case import Case, repeated
from tests.corpus import write_zip
from training import ingest
from training.models import Dataset

AREAS = (archive, damaged, names, classification, images, segmentation, detection, good)
CASES = [case for area in AREAS for case in area.CASES]


def ingested(case: Case, project, folder: Path) -> Dataset:
    """The dataset after a worker has looked at the zip, as an upload leaves it."""
    dataset = Dataset.objects.create(project=project, name="odd", algorithm=case.algorithm, status="VALIDATING")
    content = case.make()
    if isinstance(content, dict):
        content = write_zip(folder / "odd.zip", content).read_bytes()
        (folder / "odd.zip").unlink()
    dataset.upload_path.parent.mkdir(parents=True)
    dataset.upload_path.write_bytes(content)
    ingest.run(dataset.pk)
    dataset.refresh_from_db()
    return dataset


@pytest.mark.django_db
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_wrong_is_named(case: Case, project, home, settings):
    for name, value in case.settings.items():
        setattr(settings, name, value)
    before = {path for path in home.rglob("*") if path.is_file()}
    dataset = ingested(case, project, home)
    differences = case.differences(dataset.report)
    assert not differences, "\n".join(["", *differences])
    assert dataset.status == case.status
    assert (dataset.status_reason is None) == (dataset.status == "READY")
    left = {path for path in home.rglob("*") if path.is_file()} - before - {dataset.folder / "lock"}
    assert all(path.is_relative_to(dataset.data_folder) for path in left)
    assert dataset.status == "READY" or not left


def test_the_corpus_is_whole():
    assert len(CASES) >= 80
    assert repeated(CASES) == []


def test_every_expected_error_has_the_words_that_say_how_to_mend_it():
    silent = [(c.name, str(p)) for c in CASES for p in c.problems if p.level == "error" and not p.words]
    assert silent == []
