"""The real ingest of every zip of the corpus: exactly what is wrong is named, and nothing half-made is left."""

from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from tests.broken import archive, classification, damaged, detection, doctor, good, images, names, segmentation
from tests.broken.case import Case, repeated
from tests.corpus import write_zip
from training import ingest, services
from training.models import Dataset

AREAS = (archive, damaged, names, classification, images, segmentation, detection, doctor, good)
CASES = [case for area in AREAS for case in area.CASES]


def dataset_of(case: Case, project, folder: Path) -> Dataset:
    """The dataset as an upload of the zip leaves it."""
    dataset = Dataset.objects.create(project=project, name="odd", algorithm=case.algorithm, status="VALIDATING")
    content = case.make()
    if isinstance(content, dict):
        content = write_zip(folder / "odd.zip", content).read_bytes()
        (folder / "odd.zip").unlink()
    dataset.upload_path.parent.mkdir(parents=True)
    dataset.upload_path.write_bytes(content)
    return dataset


def ingested(dataset: Dataset) -> Dataset:
    ingest.run(dataset.pk)
    dataset.refresh_from_db()
    return dataset


@pytest.fixture(scope="module")
def catalogue() -> Catalog:
    with (Path(__file__).parents[2] / "locale/ko/LC_MESSAGES/django.po").open("rb") as file:
        return read_po(file, locale="ko")


def untranslated(report: list[dict[str, Any]], catalogue: Catalog) -> list[str]:
    """Sentences, reasons within them included, that a Korean reader would be shown in English."""
    within = [value["text"] for p in report for value in p["params"].values() if isinstance(value, dict)]
    return [text for text in [*(p["text"] for p in report), *within] if text not in catalogue]


@pytest.mark.django_db
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_wrong_is_named(case: Case, project, home, settings, catalogue):
    for name, value in case.settings.items():
        setattr(settings, name, value)
    before = {path for path in home.rglob("*") if path.is_file()}
    dataset = ingested(dataset_of(case, project, home))
    differences = case.differences(dataset.report)
    assert not differences, "\n".join(["", *differences])
    assert dataset.status == case.status
    assert (dataset.status_reason is None) == (dataset.status == "READY")
    assert untranslated(dataset.report, catalogue) == []
    assert str(home) not in str(dataset.report), "a path of this machine is of no use to anyone"
    new = {path for path in home.rglob("*") if path.is_file()} - before
    assert all(path.is_relative_to(dataset.folder) for path in new)
    kept = {"READY": {"lock", "data", "mends.json"}, "INVALID": {"lock", "thumbs"}}[dataset.status]
    if services.dataset_can_check(dataset):  # it is the disk, and not the zip
        kept |= {"upload.zip"}
    if dataset.status == "INVALID" and services.dataset_mends(dataset):  # the zip is of use still
        kept |= {"upload.zip", "mends.json"}
    assert {path.name for path in dataset.folder.iterdir()} <= kept


@pytest.mark.django_db
@pytest.mark.parametrize("case", [case for case in CASES if case.mendable], ids=lambda case: case.name)
def test_what_can_be_mended_is_mended(case: Case, project, home, people):
    """With everything that is offered, the next version has nothing of it left, and can be used."""
    dataset = ingested(dataset_of(case, project, home))
    offered = services.dataset_mends(dataset)
    assert offered
    mended = ingested(services.dataset_mend(dataset=dataset, user=people.editor, mends=offered))
    assert mended.status == "READY", mended.report
    assert services.dataset_mends(mended) == []


def test_the_corpus_is_whole():
    assert len(CASES) >= 80
    assert repeated(CASES) == []


def test_every_expected_error_has_the_words_that_say_how_to_mend_it():
    silent = [(c.name, str(p)) for c in CASES for p in c.problems if p.level == "error" and not p.words]
    assert silent == []
