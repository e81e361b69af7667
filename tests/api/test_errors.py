"""Every refusal has one shape, whatever refused it."""

import pytest

BAD_REQUESTS = [
    ("get", "/api/v1/nothing/", None, 404, "not_found"),
    ("get", "/api/v1/trainings/nothing/", None, 404, "not_found"),
    ("get", "/api/v1/algorithms/nothing/", None, 404, "not_found"),
    ("put", "/api/v1/trainings/", {}, 405, "method_not_allowed"),
    ("post", "/api/v1/trainings/", {}, 400, "invalid"),
    ("get", "/api/v1/trainings/?page=99", None, 404, "not_found"),
    ("get", f"/api/v1/trainings/?page={10**20}", None, 404, "not_found"),
    ("get", f"/api/v1/trainings/?page={'9' * 5000}", None, 404, "not_found"),
    ("get", "/api/v1/trainings/?status=DONE", None, 400, "invalid"),
    ("get", "/api/v1/trainings/?ordering=colour", None, 400, "invalid"),
]


@pytest.mark.parametrize(("method", "address", "body", "status", "code"), BAD_REQUESTS)
def test_shape(api, people, project, method, address, body, status, code):
    answer = getattr(api(people.editor), method)(address, body, format="json")
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "fields"}
    assert error["code"] == code
    assert error["message"]


def test_a_body_that_is_not_json(api, people, project):
    answer = api(people.editor).post("/api/v1/experiments/", "{", content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")


def test_a_body_of_another_kind(api, people, project):
    answer = api(people.editor).post("/api/v1/datasets/", {"name": "x"}, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("number", ["9" * 400, "9" * 5000])
@pytest.mark.parametrize("field", ["timeout_minutes", "early_stopping", "hyperparameters.save_steps"])
def test_a_number_that_python_cannot_read_is_refused_by_its_field(api, people, dataset, field, number):
    group, _, name = field.rpartition(".")
    given = f'"{group}": {{"{name}": {number}}}' if group else f'"{name}": {number}'
    body = f'{{"name": "x", "dataset": "{dataset.pk}", {given}}}'
    answer = api(people.editor).post("/api/v1/trainings/", body, content_type="application/json")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == [field]
    assert "sys." not in answer.content.decode()


@pytest.mark.parametrize("value", [10**20, 1e300])
def test_a_hyperparameter_that_nothing_can_count_is_refused_with_the_largest(api, people, dataset, value):
    wanted = {"name": "x", "dataset": dataset.pk, "hyperparameters": {"per_device_train_batch_size": value}}
    answer = api(people.editor).post("/api/v1/trainings/", wanted, format="json")
    assert answer.status_code == 400
    fields = answer.json()["error"]["fields"]
    assert "1000000000 at most" in fields["hyperparameters.per_device_train_batch_size"][0]


@pytest.mark.parametrize("address", ["experiments", "trainings"])
def test_json_that_is_nested_too_deeply(api, people, project, address):
    body = '{"name": ' + "[" * 100_000 + "]" * 100_000 + "}"
    answer = api(people.editor).post(f"/api/v1/{address}/", body, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")


def test_a_form_beyond_djangos_limits(api, people, project, settings):
    client = api(people.editor)
    many = client.post("/api/v1/datasets/", {f"field{n}": "" for n in range(2000)}, format="multipart")
    assert (many.status_code, many.json()["error"]["code"]) == (400, "invalid")
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    answer = client.post("/api/v1/datasets/", {"name": "x" * 2000}, format="multipart")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_a_body_that_is_a_list(api, people, project):
    answer = api(people.editor).post("/api/v1/experiments/", [1, 2], format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")


@pytest.mark.parametrize("name", ["", "   ", "x" * 51, None, "a\x00b"])
def test_names_that_nothing_can_have(api, people, project, name):
    answer = api(people.editor).post("/api/v1/experiments/", {"name": name}, format="json")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == ["name"]


@pytest.mark.parametrize(
    ("address", "body", "field"),
    [
        ("experiments", r'{"name": "\ud800"}', "name"),
        ("trainings", r'{"name": "x", "dataset": "DATASET", "hyperparameters": {"\ud800": 1}}', "hyperparameters"),
    ],
)
def test_half_of_a_surrogate_pair(api, people, dataset, address, body, field):
    """JSON can spell it, UTF-8 cannot: neither the database nor the answer may choke on it."""
    body = body.replace("DATASET", dataset.pk)
    answer = api(people.editor).post(f"/api/v1/{address}/", body, content_type="application/json")
    assert answer.status_code == 400
    assert all(name.startswith(field) for name in answer.json()["error"]["fields"])


def test_a_name_can_be_had_once_a_project_and_kind(api, people, project):
    client = api(people.editor)
    assert client.post("/api/v1/experiments/", {"name": "same"}, format="json").status_code == 201
    again = client.post("/api/v1/experiments/", {"name": "same"}, format="json")
    assert again.status_code == 400
    assert list(again.json()["error"]["fields"]) == ["name"]


def test_a_conflict_names_what_is_in_the_way(api, people, training, model):
    answer = api(people.editor).delete(f"/api/v1/trainings/{training.pk}/")
    assert answer.status_code == 409
    error = answer.json()["error"]
    assert error["code"] == "conflict"
    assert error["fields"] == {"model": [f"signs v1 ({model.pk})"]}
    assert "signs v1" in error["message"]


def test_messages_come_in_the_language_of_the_request(api, people, project):
    """Django's own catalogue is enough to see that Accept-Language is honoured."""
    client = api(people.editor)
    english = client.post("/api/v1/experiments/", {}, format="json").json()["error"]
    korean = client.post("/api/v1/experiments/", {}, format="json", headers={"Accept-Language": "ko"}).json()["error"]
    assert english["fields"]["name"] == ["This field is required."]
    assert korean["fields"]["name"] != english["fields"]["name"]
    assert korean["code"] == english["code"]


def test_what_nobody_foresaw_is_logged_and_answered_in_the_same_shape(api, people, training, home, caplog):
    """The log file's place is taken by a folder: reading it fails in a way that no service knows."""
    training.log_path.mkdir(parents=True)
    client = api(people.editor)
    client.raise_request_exception = False
    answer = client.get(f"/api/v1/trainings/{training.pk}/log/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "error")
    assert "IsADirectoryError" in caplog.text
