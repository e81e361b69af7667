import json

import pytest

from training.models import Experiment, MetricPoint, Training

URL = "/api/v1/trainings/"


@pytest.fixture
def editor(api, people, project):
    return api(people.editor)


def test_name_and_dataset_suffice_and_every_default_is_the_guides(editor, dataset):
    answer = editor.post(URL, {"name": "run", "dataset": dataset.pk}, format="json")
    assert answer.status_code == 201
    made = answer.json()
    assert made["status"] == "CREATE_REQUESTED"
    assert made["queue_position"] == 1
    assert made["algorithm"] == "image_classification"
    assert made["hyperparameters"] == {
        "input_size": 28,
        "learning_rate": 0.1,
        "per_device_train_batch_size": 16,
        "per_device_eval_batch_size": 16,
        "num_train_epochs": 3,
        "save_steps": 500,
        "logging_steps": 10,
    }
    assert (made["initial_weights"], made["device"], made["timeout_minutes"]) == ("auto", "auto", 1440)
    assert made["early_stopping"] == 0
    assert made["progress"] == {"step": 0, "total_steps": 0, "epoch": 0.0, "eta_seconds": None}
    assert made["created_by"] == "editor"
    assert isinstance(made["id"], str)
    assert editor.get(f"{URL}{made['id']}/").json() == made


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("-1", "[0.0 ~ ∞)"),
        ("NaN", "[0.0 ~ ∞)"),
        ("Infinity", "[0.0 ~ ∞)"),
        ("1e999", "[0.0 ~ ∞)"),
        ('"0.1"', "[0.0 ~ ∞)"),
        ("true", "[0.0 ~ ∞)"),
        ("null", "[0.0 ~ ∞)"),
        ("[0.1]", "[0.0 ~ ∞)"),
    ],
)
def test_a_wrong_hyperparameter_is_refused_by_name_with_its_range(editor, dataset, value, says):
    body = f'{{"name": "run", "dataset": "{dataset.pk}", "hyperparameters": {{"learning_rate": {value}}}}}'
    answer = editor.post(URL, body, content_type="application/json")
    assert answer.status_code == 400
    fields = answer.json()["error"]["fields"]
    assert list(fields) == ["hyperparameters.learning_rate"]
    assert says in fields["hyperparameters.learning_rate"][0]
    assert not Training.objects.exists()


def test_every_wrong_field_is_named_at_once(editor, dataset):
    body = {
        "name": "x" * 51,
        "dataset": dataset.pk,
        "hyperparameters": {"input_size": 3, "colour": 1},
        "initial_weights": "mine",
    }
    fields = editor.post(URL, body, format="json").json()["error"]["fields"]
    assert set(fields) == {"name", "initial_weights", "hyperparameters.input_size", "hyperparameters.colour"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hyperparameters", [1]),
        ("algorithm", "object_detection"),
        ("algorithm", "nothing"),
        ("dataset", "nothing"),
        ("dataset", None),
        ("dataset", {"id": 1}),
        ("timeout_minutes", 0),
        ("timeout_minutes", "soon"),
        ("early_stopping", -1),
        ("early_stopping", 1001),
        ("device", "tpu"),
        ("checkpoint", "nothing/checkpoint-1"),
        ("experiment", "e" * 51),
    ],
)
def test_a_wrong_field_is_named(editor, dataset, field, value):
    answer = editor.post(URL, {"name": "run", "dataset": dataset.pk, field: value}, format="json")
    assert answer.status_code == 400
    named = set(answer.json()["error"]["fields"])
    assert named == ({"dataset"} if value == "object_detection" else {field})


def test_a_dataset_that_is_not_ready_is_refused(editor, dataset):
    type(dataset).objects.update(status="VALIDATING")
    answer = editor.post(URL, {"name": "run", "dataset": dataset.pk}, format="json")
    assert answer.status_code == 400
    assert "VALIDATING" in answer.json()["error"]["fields"]["dataset"][0]


def test_an_experiment_is_named_by_id_or_name_and_made_when_it_is_new(editor, dataset, project):
    def make(name, experiment):
        body = {"name": name, "dataset": dataset.pk, "experiment": experiment}
        return editor.post(URL, body, format="json")

    first = make("one", "sizes").json()
    assert first["experiment_name"] == "sizes"
    assert make("two", first["experiment"]).json()["experiment"] == first["experiment"]
    assert make("three", "sizes").json()["experiment"] == first["experiment"]
    assert make("one", "other").status_code == 400  # the name is taken: no experiment is left behind
    assert [e.name for e in Experiment.objects.filter(project=project)] == ["sizes"]
    assert editor.get(URL, {"experiment": first["experiment"]}).json()["count"] == 3


def test_it_may_start_from_a_model_of_the_project(editor, dataset, model, home):
    model.folder.mkdir(parents=True)
    (model.folder / "model.safetensors").write_bytes(b"weights")
    body = {"name": "on top", "dataset": dataset.pk, "initial_weights": model.pk}
    made = editor.post(URL, body, format="json")
    assert made.status_code == 201, made.json()
    assert made.json()["initial_weights"] == model.pk
    assert Training.objects.get(pk=made.json()["id"]).weights_folder == f"models/{model.pk}"
    type(model).objects.update(algorithm="object_detection")
    refused = editor.post(URL, {**body, "name": "again"}, format="json")
    assert list(refused.json()["error"]["fields"]) == ["initial_weights"]


def test_stop_and_resume(editor, dataset):
    made = editor.post(URL, {"name": "run", "dataset": dataset.pk}, format="json").json()
    address = f"{URL}{made['id']}/"
    stopped = editor.post(f"{address}stop/").json()
    assert (stopped["status"], stopped["status_reason"]) == ("STOPPED", "Stopped by editor.")
    assert stopped["updated_at"] > made["updated_at"]
    again = editor.post(f"{address}stop/")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert editor.post(f"{address}resume/").json()["status"] == "CREATE_REQUESTED"
    assert editor.post(f"{address}resume/").status_code == 409
    assert editor.delete(address).status_code == 409  # it is queued
    events = editor.get(f"{address}events/").json()["results"]
    assert [event["to_status"] for event in events] == ["CREATE_REQUESTED", "STOPPED", "CREATE_REQUESTED"]
    assert events[1]["reason"] == "Stopped by editor."
    assert events[1]["actor"] == "editor"


def test_delete(editor, training):
    assert editor.delete(f"{URL}{training.pk}/").status_code == 204
    assert editor.get(f"{URL}{training.pk}/").status_code == 404


def test_metrics_are_series_of_step_and_value(editor, training):
    for step, epoch, loss in ((10, 0.5, 2.0), (20, 1.0, 1.5)):
        MetricPoint.objects.create(training=training, name="loss", step=step, epoch=epoch, value=loss)
    MetricPoint.objects.create(training=training, name="eval_accuracy", step=20, epoch=1.0, value=0.7)
    assert editor.get(f"{URL}{training.pk}/metrics/").json() == {
        "series": {"loss": [[10, 2.0], [20, 1.5]], "eval_accuracy": [[20, 0.7]]},
        "epochs": [[10, 0.5], [20, 1.0]],
    }


def test_the_detail_shows_what_a_script_waits_for(editor, training):
    Training.objects.update(
        status="FAIL_TRAIN",
        status_reason={"text": "Out of %(what)s.", "params": {"what": "memory"}},
        warnings=[
            {"code": "scratch", "text": "From %(what)s.", "params": {"what": "scratch"}},
            {"code": "flat", "level": "info", "text": "Flat.", "params": {}, "advice": {"text": "Stop.", "params": {}}},
        ],
    )
    seen = editor.get(f"{URL}{training.pk}/").json()
    assert seen["status_reason"] == "Out of memory."
    assert seen["warnings"] == [
        {"code": "scratch", "level": "warning", "message": "From scratch.", "advice": ""},
        {"code": "flat", "level": "info", "message": "Flat.", "advice": "Stop."},
    ]
    assert seen["test_metrics"] == {"accuracy": 0.8}
    assert seen["tensorboard_url"].startswith("http://testserver/projects/")


def read(answer) -> str:
    return b"".join(answer.streaming_content).decode() if answer.streaming else answer.content.decode()


@pytest.fixture
def log(training):
    training.folder.mkdir(parents=True)
    training.log_path.write_text("first\nzweite ü\nthird\n", encoding="utf-8")
    return f"{URL}{training.pk}/log/"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "first\nzweite ü\nthird\n"),
        ("?offset=6", "zweite ü\nthird\n"),
        ("?offset=22", ""),
        ("?offset=9999", ""),
        ("?tail=1", "third\n"),
        ("?tail=2", "zweite ü\nthird\n"),
        ("?tail=3", "first\nzweite ü\nthird\n"),
        ("?tail=99", "first\nzweite ü\nthird\n"),
        ("?tail=0", ""),
        ("?tail=2&offset=16", "third\n"),
    ],
)
def test_the_log_whole_from_an_offset_or_its_tail(editor, log, query, text):
    answer = editor.get(f"{log}{query}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Next-Offset"] == "22"
    assert read(answer) == text


def test_the_tail_of_a_long_log_and_of_one_whose_last_line_is_not_finished(editor, training, log):
    lines = [f"line {number} {'x' * 100}" for number in range(3000)]
    training.log_path.write_text("\n".join(lines))
    assert read(editor.get(f"{log}?tail=1000")).split("\n") == lines[-1000:]


def test_a_log_that_grows_while_it_is_sent_ends_where_its_length_says(editor, training, log):
    answer = editor.get(log)
    with training.log_path.open("a") as file:
        file.write("later\n")
    assert read(answer) == "first\nzweite ü\nthird\n"
    assert read(editor.get(f"{log}?offset={answer.headers['X-Next-Offset']}")) == "later\n"


def test_there_is_no_log_yet(editor, training):
    answer = editor.get(f"{URL}{training.pk}/log/")
    assert (answer.status_code, read(answer)) == (200, "")


@pytest.mark.parametrize(
    "query", ["offset=-1", "tail=many", "offset=1.5", "tail=²", pytest.param("offset=" + "9" * 5000, id="huge")]
)
def test_a_wrong_log_parameter_is_named(editor, log, query):
    answer = editor.get(f"{log}?{query}")
    assert answer.status_code == 400
    assert list(json.loads(answer.content)["error"]["fields"]) == [query.partition("=")[0]]
