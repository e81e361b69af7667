"""The training list, the form and the actions, as they come from the server."""

import re

import pytest
from django.urls import reverse

from models_registry.models import Model
from tests.console import served
from training.models import Experiment, Training

HTMX = {"HX-Request": "true"}


@pytest.fixture
def create(editor, project):
    """create(**values) posts the form of a new training. -> the answer"""

    def post(**values):
        values = {key.replace("__", "."): value for key, value in values.items()}
        return editor.post(reverse("training_create", args=[project.pk]), {"timeout_minutes": "60", **values})

    return post


def page(client, training, **query):
    return client.get(reverse("training", args=[training.project_id, training.pk]), query).content.decode()


def test_only_the_name_and_the_dataset_are_needed(create, pets):
    answer = create(name="run", algorithm=pets.algorithm, dataset=pets.pk)
    made = Training.objects.get()
    assert answer.url == reverse("training", args=[made.project_id, made.pk])
    assert made.status == "CREATE_REQUESTED"
    assert made.hyperparameters == made.spec.defaults()
    assert (made.device, made.initial_weights, made.timeout_minutes) == ("auto", "auto", 60)
    assert made.early_stopping == 0


def test_early_stopping_is_a_choice_on_the_form(create, pets):
    answer = create(name="run", algorithm=pets.algorithm, dataset=pets.pk, early_stopping="-1")
    assert "early_stopping" in answer.context["form"].errors
    create(name="run", algorithm=pets.algorithm, dataset=pets.pk, early_stopping="3")
    assert Training.objects.get().early_stopping == 3


def test_what_was_filled_in_is_what_is_trained(create, pets):
    create(
        name="run",
        algorithm=pets.algorithm,
        dataset=pets.pk,
        hyperparameters__learning_rate="2e-4",
        hyperparameters__input_size="64",
        initial_weights="scratch",
        device="cpu",
    )
    made = Training.objects.get()
    assert made.hyperparameters == made.spec.defaults() | {"learning_rate": 2e-4, "input_size": 64}
    assert (made.device, made.initial_weights) == ("cpu", "scratch")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("input_size", "2", "input_size is 2, outside its range [4 ~ ∞)."),
        ("learning_rate", "nan", "learning_rate must be a number in [0.0 ~ ∞)."),
        ("learning_rate", "inf", "learning_rate must be a number in [0.0 ~ ∞)."),
        ("num_train_epochs", "2.5", "num_train_epochs must be a whole number in [1 ~ ∞)."),
        ("per_device_train_batch_size", "many", "per_device_train_batch_size must be a whole number in [2 ~ ∞)."),
    ],
)
def test_a_wrong_hyperparameter_is_refused_beside_its_field_with_the_range(create, pets, field, value, message):
    text = create(name="run", dataset=pets.pk, algorithm=pets.algorithm, **{f"hyperparameters__{field}": value})
    text = text.content.decode()
    error = re.search(rf'id="id_hyperparameters\.{field}_error">([^<]+)<', text)
    assert error
    assert error[1] == message
    assert f'value="{value}"' in text  # what was typed stays
    assert not Training.objects.exists()


def test_what_is_no_hyperparameter_of_the_algorithm_is_refused_by_name(create, pets):
    answer = create(name="a", algorithm=pets.algorithm, dataset=pets.pk, hyperparameters__momentum="0.9")
    assert "momentum is not a hyperparameter of Image Classification." in answer.text
    assert not Training.objects.exists()


def test_nonsense_in_the_query_string_does_not_keep_the_form_from_being_shown(editor, project, pets):
    query = {"hyperparameters": "x", "dataset": "x", "algorithm": "x", "hyperparameters.input_size": "x"}
    assert editor.get(reverse("training_create", args=[project.pk]), query).status_code == 200


def test_the_form_shows_default_range_and_the_hint_of_every_hyperparameter(editor, project, pets):
    text = editor.get(reverse("training_create", args=[project.pk]), {"algorithm": pets.algorithm}).content.decode()
    for parameter in served.algorithms.get(pets.algorithm).hyperparameters:
        assert f'name="hyperparameters.{parameter.name}"' in text
        assert parameter.range_text in text
        assert parameter.text in text
    assert "0.1 is unlikely to train well: usual values lie between 0.00001 and 0.005." in text


def test_only_ready_datasets_of_the_algorithm_are_offered(editor, project, pets):
    served.dataset(project, "roads", "semantic_segmentation")
    served.dataset(project, "broken pets", status="INVALID")
    url = reverse("training_create", args=[project.pk])
    chosen = editor.get(url, {"algorithm": "image_classification"}).content.decode()
    assert ">pets</option>" in chosen
    assert "roads" not in chosen
    assert "broken pets" not in chosen
    every = editor.get(url).content.decode()
    assert ">pets</option>" in every
    assert ">roads</option>" in every


def test_choosing_a_dataset_chooses_its_algorithm(editor, project, pets):
    roads = served.dataset(project, "roads", "semantic_segmentation")
    text = editor.get(reverse("training_create", args=[project.pk]), {"dataset": roads.pk}).content.decode()
    assert re.search(r'value="semantic_segmentation"[^>]* checked', text)
    assert f'value="{roads.pk}" selected' in text
    assert "input_size" not in text


def test_another_algorithm_brings_its_own_defaults_and_keeps_the_name(editor, project, pets):
    values = {
        "name": "typed",
        "shown_algorithm": "image_classification",
        "algorithm": "semantic_segmentation",
        "hyperparameters.learning_rate": "0.1",
    }
    text = editor.get(reverse("training_create", args=[project.pk]), values).content.decode()
    assert 'name="name" value="typed"' in text
    assert 'name="hyperparameters.learning_rate" value="0.0002"' in text


def test_an_experiment_can_be_added_in_place(create, pets):
    create(name="run", algorithm=pets.algorithm, dataset=pets.pk, new_experiment="an idea")
    assert Training.objects.get().experiment == Experiment.objects.get(name="an idea")


def test_a_refused_training_leaves_no_new_experiment(create, pets):
    served.training(pets, "run")
    text = create(name="run", algorithm=pets.algorithm, dataset=pets.pk, new_experiment="an idea").content.decode()
    assert "already taken" in text
    assert not Experiment.objects.exists()


def test_a_taken_experiment_name_is_said_beside_that_field(create, pets, project):
    Experiment.objects.create(project=project, name="an idea")
    text = create(name="run", algorithm=pets.algorithm, dataset=pets.pk, new_experiment="an idea").content.decode()
    assert re.search(r'id="id_new_experiment_error">[^<]*already taken', text)
    assert not Training.objects.exists()


def test_weights_of_the_projects_own_models_of_the_algorithm(editor, create, project, pets):
    own = served.model(served.training(pets))
    other = served.model(served.training(served.dataset(project, "roads", "semantic_segmentation"), "s"), "roads model")
    own.folder.mkdir(parents=True)
    (own.folder / "model.safetensors").touch()
    form = editor.get(reverse("training_create", args=[project.pk]), {"algorithm": pets.algorithm}).content.decode()
    assert f'value="{own.pk}"' in form
    assert other.pk not in form
    create(name="again", algorithm=pets.algorithm, dataset=pets.pk, initial_weights=own.pk)
    made = Training.objects.get(name="again")
    assert (made.initial_weights, made.weights_folder) == (own.pk, f"models/{own.pk}")


def test_copy_opens_the_form_filled_in(editor, project, pets):
    idea = Experiment.objects.create(project=project, name="an idea")
    changed = {"learning_rate": 3e-4, "input_size": 96}
    original = served.training(pets, "run", experiment=idea, description="why", device="cpu", timeout_minutes=7)
    original.hyperparameters |= changed
    original.early_stopping = 5
    original.save()
    text = editor.get(reverse("training_copy", args=[project.pk, original.pk])).content.decode()
    assert 'name="name" value="run-2"' in text
    assert 'name="description" value="why"' in text
    assert 'name="hyperparameters.learning_rate" value="0.0003"' in text
    assert 'name="hyperparameters.input_size" value="96"' in text
    assert 'name="timeout_minutes" value="7"' in text
    assert 'name="early_stopping" value="5"' in text
    for chosen in (idea.pk, pets.pk, "cpu"):
        assert f'value="{chosen}" selected' in text


ACTIONS = {"Create model", "Stop", "Resume", "Copy", "Delete"}


@pytest.mark.parametrize(
    ("status", "allowed"),
    [
        ("CREATE_REQUESTED", {"Stop", "Copy"}),
        ("RUNNING", {"Stop", "Copy"}),
        ("STOP_IN_PROGRESS", {"Copy"}),
        ("COMPLETE", {"Create model", "Copy", "Delete"}),
        ("STOPPED", {"Resume", "Copy", "Delete"}),
        ("FAIL_TRAIN", {"Resume", "Copy", "Delete"}),
    ],
)
def test_a_status_offers_what_it_allows_and_nothing_to_a_viewer(editor, browser_of, people, pets, status, allowed):
    row = served.training(pets, status=status)
    detail = page(editor, row).split('id="detail"')[1]
    assert {action for action in ACTIONS if f"&nbsp;{action}\n" in detail or f"&nbsp;{action}<" in detail} == allowed
    seen = page(browser_of(people.viewer), row).split("<main")[1]
    assert '<form method="post"' not in seen
    assert reverse("training_copy", args=[row.project_id, row.pk]) not in seen


def test_stop_resume_and_delete(editor, project, pets):
    row = served.training(pets, status="CREATE_REQUESTED")
    for action, status in (("stop", "STOPPED"), ("resume", "CREATE_REQUESTED"), ("stop", "STOPPED")):
        editor.post(reverse(f"training_{action}", args=[project.pk, row.pk]))
        row.refresh_from_db()
        assert row.status == status
    answer = editor.post(reverse("training_delete", args=[project.pk, row.pk]), follow=True)
    assert "first run has been deleted." in answer.content.decode()
    assert not Training.objects.exists()


def test_a_training_with_a_model_says_which_model_is_in_the_way(editor, project, pets):
    row = served.training(pets)
    made = served.model(row)
    text = editor.post(reverse("training_delete", args=[project.pk, row.pk]), follow=True).content.decode()
    link = reverse("model", args=[project.pk, made.pk])
    assert re.search(rf'role="alert".*<a href="{link}" class="alert-link">pets model</a>', text, re.DOTALL)
    assert Model.objects.filter(pk=made.pk).exists()
