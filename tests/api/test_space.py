"""What uses the disk, by the REST API."""

from training import services


def hold(training, size=200_000):
    for name in ("model.safetensors", "trainer_state.json"):
        path = training.checkpoints_folder / "checkpoint-5" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)


def test_the_disk_the_kinds_and_the_largest(api, people, project, training, home):
    hold(training)
    body = api(people.viewer).get("/api/v1/space/").json()
    assert body["disk"]["total"] >= body["disk"]["used"] + body["disk"]["free"] > 0
    assert body["kinds"]["checkpoints"] >= 400_000
    largest = body["largest"][0]
    assert (largest["kind"], largest["owner"], largest["id"]) == ("checkpoints", "training", training.pk)
    assert api(people.outsider).get(f"/api/v1/space/?project={project.pk}").status_code == 404


def test_checkpoints_are_deleted_once_and_their_space_is_free(api, people, project, training, home):
    hold(training)
    address, editor = f"/api/v1/trainings/{training.pk}/checkpoints/", api(people.editor)
    assert api(people.viewer).delete(address).status_code == 403
    assert editor.delete(address).json()["freed_bytes"] >= 400_000
    assert editor.delete(address).json() == {"freed_bytes": 0}
    assert editor.get("/api/v1/space/").json()["kinds"]["checkpoints"] == 0
    events = editor.get(f"/api/v1/trainings/{training.pk}/events/").json()
    assert "checkpoints_removed" in str(events)


def test_what_another_training_starts_from_is_a_conflict_that_names_it(api, people, project, training, home):
    hold(training)
    row = services.training_create(
        project=project, user=people.owner, name="next", dataset=training.dataset,
        checkpoint=f"{training.pk}/checkpoint-5",
    )  # fmt: skip
    answer = api(people.editor).delete(f"/api/v1/trainings/{training.pk}/checkpoints/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert answer.json()["error"]["fields"] == {"training": [f"next ({row.pk})"]}


def test_an_admin_sets_the_retention(api, people, project):
    address, days = f"/api/v1/projects/{project.pk}/retention/", {"logs": 90, "tensorboard": None, "checkpoints": 7}
    assert api(people.editor).put(address, days, format="json").status_code == 403
    assert api(people.owner).put(address, days, format="json").json()["retention"] == days
    wrong = api(people.owner).put(address, {"logs": 0}, format="json")
    assert (wrong.status_code, list(wrong.json()["error"]["fields"])) == (400, ["logs"])
    assert api(people.viewer).get(f"/api/v1/projects/{project.pk}/").json()["retention"] == days
