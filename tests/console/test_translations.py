"""The Korean catalogue is whole, and Korean is what a person or a program gets who asks for it."""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.test import Client
from django.urls import reverse
from django.utils.translation import gettext, override
from django.utils.translation.template import templatize

from console.templatetags.console import EVENT_NAMES
from tests.console import served
from training import algorithms, lifecycle
from training.algorithms.base import Message as Stored
from training.models import DatasetStatus, Event, Training, TrainingStatus

ROOT = Path(__file__).parents[2]
PACKAGES = ("console", "endpoints", "models_registry", "training")
KEYWORDS = dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop")) | {"ngettext": (1, 2)}
PLACEHOLDER = re.compile(r"%%?\(\w+\)[a-z]|\{\w+\}|</?\w+>")
HANGUL = re.compile("[가-힣]")
SAME_IN_BOTH = {"CPU", "GPU (CUDA)", "YOUR_KEY", "ONNX opset"}  # beside the statuses, the product's own words


@pytest.fixture(scope="module")
def catalogue() -> Catalog:
    with (ROOT / "locale/ko/LC_MESSAGES/django.po").open("rb") as file:
        return read_po(file, locale="ko", abort_invalid=True)


@pytest.fixture
def korean(catalogue: Catalog, settings, tmp_path: Path) -> None:
    """The catalogue as it is in the .po: the compiled one beside it may be older, or not be there."""
    folder = tmp_path / "locale/ko/LC_MESSAGES"
    folder.mkdir(parents=True)
    with (folder / "django.mo").open("wb") as file:
        write_mo(file, catalogue)
    settings.LOCALE_PATHS = [tmp_path / "locale"]


def forms(text: str | tuple[str, ...] | list[str]) -> list[str]:
    """Singular and plural of a text that has both, else the text alone."""
    return [text] if isinstance(text, str) else list(text)


def entries(catalogue: Catalog) -> list[Message]:
    return [entry for entry in catalogue if entry.id]


def test_every_text_has_a_translation(catalogue):
    assert not catalogue.fuzzy
    assert [e.id for e in entries(catalogue) if e.fuzzy or not all(forms(e.string))] == []
    assert not catalogue.obsolete


def test_no_text_is_there_twice():
    """gettext refuses such a catalogue; Babel takes the last."""
    found = re.findall(r"^msgid (.+(?:\n\".+)*)", (ROOT / "locale/ko/LC_MESSAGES/django.po").read_text(), re.MULTILINE)
    assert [text for text, times in Counter(found).items() if times > 1] == []


def test_translations_are_korean(catalogue):
    same = {e.id for e in entries(catalogue) if not HANGUL.search(forms(e.string)[0])} - SAME_IN_BOTH
    assert {text for text in same if text.upper() != text} == set()


def test_statuses_are_the_same_words_in_both_languages(korean):
    with override("ko"):
        assert str(TrainingStatus.CREATE_REQUESTED.label) == "CREATE REQUESTED"
        assert str(DatasetStatus.READY.label) == "READY"


def test_placeholders_and_tags_agree(catalogue):
    wrong = []
    for entry in entries(catalogue):
        wanted = sorted(PLACEHOLDER.findall(forms(entry.id)[-1]))
        wrong += [entry.id for text in forms(entry.string) if sorted(PLACEHOLDER.findall(text)) != wanted]
    assert wrong == []


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in ROOT.glob(f"{package}/**/*.py")]


def marked_in_module(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(text)), *_]) if name in KEYWORDS:
                yield text


def marked_in_template(path: Path) -> Iterator[str]:
    calls = templatize(path.read_text(encoding="utf-8"))  # the template as calls of gettext(), the rest as words
    source = "\n".join(line.strip() for line in calls.splitlines())
    for _line, found, _comments, _context in extract("python", BytesIO(source.encode()), KEYWORDS):
        yield forms(found)[0]


def marked() -> Iterator[tuple[Path, str]]:
    """(file, text) of every text that is marked for translation in the code and the templates."""
    for path in modules():
        yield from ((path, text) for text in marked_in_module(path))
    for path in ROOT.glob("templates/**/*.html"):
        yield from ((path, text) for text in marked_in_template(path))


def test_every_marked_text_is_in_the_catalogue(catalogue):
    texts = list(marked())
    assert len({text for _file, text in texts}) > 500
    known = {forms(entry.id)[0] for entry in entries(catalogue)}
    assert [(str(file), text) for file, text in texts if text not in known] == []


def test_no_module_marks_texts_by_a_name_that_the_collection_does_not_know():
    alias = re.compile(r"import .*\bn?gettext\w* as (?!_\b)\w+")
    assert [str(path) for path in modules() if alias.search(path.read_text(encoding="utf-8"))] == []


def test_what_an_algorithm_says_is_translated(korean):
    with override("ko"):
        for algorithm in algorithms.all_algorithms():
            texts = [algorithm.text, *(h.text for h in algorithm.hyperparameters), *(m.text for m in algorithm.metrics)]
            assert [text for text in texts if not HANGUL.search(gettext(text))] == []


def test_every_event_is_named_in_korean(korean, browser_of, people, project):
    for what in ("created", "deleted", "member_set", "key_created", "default_stage", "reattached"):
        Event.objects.create(project=project, kind="project", object_id=project.pk, object_name="x", to_status=what)
    page = browser_of(people.viewer).get(reverse("dashboard", args=[project.pk]), headers={"Accept-Language": "ko"})
    for word in ("생성", "삭제", "멤버 지정", "키 생성", "기본 스테이지", "다시 연결"):
        assert word in page.content.decode()


def recorded() -> set[str]:
    """What the code writes into an event that is no status."""
    found = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr="record"), args=[_, ast.Constant(value=str(what)), *_]):
                    found.add(what)
    return found


def test_every_event_that_is_recorded_has_a_name():
    assert "default_stage" in recorded()
    assert recorded() - set(EVENT_NAMES) == set()


def test_the_browser_s_language_decides(korean, db):
    page = Client().get("/login/", headers={"Accept-Language": "ko-KR,ko;q=0.9,en;q=0.5"})
    assert page.headers["Content-Language"] == "ko"
    assert '<html lang="ko">' in page.content.decode()
    assert "로그인" in page.content.decode()
    assert "Sign in" in Client().get("/login/", headers={"Accept-Language": "de,en;q=0.5"}).content.decode()


def test_a_person_s_choice_wins_over_the_browser(korean, browser_of, people, project):
    client, url = browser_of(people.viewer), reverse("datasets", args=[project.pk])
    client.post(reverse("set_language"), {"language": "en", "next": url})
    assert "No datasets yet" in client.get(url, headers={"Accept-Language": "ko"}).content.decode()
    client.post(reverse("set_language"), {"language": "ko", "next": url})
    assert "데이터 세트가 없습니다" in client.get(url, headers={"Accept-Language": "en"}).content.decode()


def test_a_stage_explains_refusals_in_korean(korean, browser_of, people, project, home):
    stage = served.endpoint(served.model(served.training(served.dataset(project)))).default_stage
    url = reverse("stage", args=[project.pk, stage.endpoint_id, stage.pk])
    page = browser_of(people.viewer).get(url, headers={"Accept-Language": "ko"}).content.decode()
    sentences = json.loads(page.split('id="tryit-sentences" type="application/json">')[1].split("</script>")[0])
    assert sentences.keys() >= {"not_an_image", "image_too_large", "body_too_large", "too_busy", "unavailable"}
    assert [text for text in sentences.values() if not HANGUL.search(text)] == []


@pytest.fixture
def failed(project) -> Training:
    """A training that ended with a stored reason."""
    training = Training.objects.create(project=project, name="cats", algorithm="image_classification")
    reason = Stored("The trainer ended with exit code %(code)s: see the log.", {"code": 9})
    assert lifecycle.move(training, "CREATE_FAILED", reason=reason)
    return training


def test_a_stored_reason_is_shown_in_the_reader_s_language(korean, browser_of, people, project, failed):
    client, url = browser_of(people.viewer), reverse("training", args=[project.pk, failed.pk])
    shown = client.get(url, headers={"Accept-Language": "ko"}).content.decode()
    assert "학습 프로세스가 종료 코드 9(으)로 종료되었습니다." in shown
    assert "The trainer ended with exit code 9: see the log." in client.get(url).content.decode()


def test_the_api_gives_reasons_in_the_language_of_the_request(korean, api, people, project, failed):
    client, address = api(people.editor), f"/api/v1/trainings/{failed.pk}/"
    assert client.get(address).json()["status_reason"] == "The trainer ended with exit code 9: see the log."
    shown = client.get(address, headers={"Accept-Language": "ko"})
    assert shown.json()["status_reason"].startswith("학습 프로세스가 종료 코드 9(으)로")


def test_a_reason_within_a_reason_is_in_the_reader_s_language_too(korean, api, people, project, failed):
    text = "Training starts from scratch, because the pretrained weights %(weights)s cannot be had: %(reason)s"
    inner = Stored("The download took longer than %(seconds)s seconds.", {"seconds": 120})
    stored = Stored(text, {"weights": "microsoft/resnet-50", "reason": inner})
    assert str(Stored.from_json(stored.as_json())).endswith("cannot be had: The download took longer than 120 seconds.")
    Training.objects.filter(pk=failed.pk).update(warnings=[{"code": "from_scratch", **stored.as_json()}])
    client, address = api(people.viewer), f"/api/v1/trainings/{failed.pk}/"
    [warning] = client.get(address, headers={"Accept-Language": "ko"}).json()["warnings"]
    assert warning["message"].endswith("처음부터 학습합니다: 다운로드가 120초 안에 끝나지 않았습니다.")


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        (
            "post",
            "trainings/{failed}/stop/",
            {},
            "현재 상태는 CREATE FAILED입니다.",
        ),
        ("get", "trainings/?ordering=colour", None, "다음 중 하나를 선택하세요"),
        ("post", "experiments/", {"name": "x" * 51}, "최대 50자까지 입력할 수 있습니다(현재 51자)."),
        ("get", "trainings/nothing/", None, "찾을 수 없습니다"),
    ],
)
def test_the_api_refuses_in_the_language_of_the_request(
    korean, api, people, project, failed, method, path, body, words
):
    address = f"/api/v1/{path.format(failed=failed.pk)}"
    call = getattr(api(people.editor), method)
    answer = call(address, body, format="json", headers={"Accept-Language": "ko"})
    assert words in answer.json()["error"]["message"]
    assert not HANGUL.search(call(address, body, format="json").json()["error"]["message"])
