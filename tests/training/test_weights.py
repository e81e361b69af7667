"""Where a training's first weights come from, and what happens when they cannot be had."""

import json
import os
import subprocess
import sys
import time

import pytest
import torch

from tests.runs import ARCHITECTURES, ROOT, events_of, labels_of, make_dataset, make_run
from training import algorithms
from training.algorithms.base import Message
from training.trainer import weights
from training.trainer.config import Config
from training.trainer.events import Events
from training.trainer.failures import Failure
from training.trainer.weights import Weights

KEY = "image_classification"
OTHER_LABELS = [{"id": i, "name": f"class {i}"} for i in range(5)]


@pytest.fixture
def _offline(monkeypatch, tmp_path):
    """No local cache, and no network: what a site without internet has."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def config(tmp_path, key=KEY, **changes):
    data = make_dataset(key, tmp_path, {"train": 2, "validation": 1})
    return Config.read(make_run(key, tmp_path / "run", data, **changes))


def save(key, folder, labels=None):
    """A complete Hugging Face folder of a tiny network."""
    train = algorithms.part(key, "train")
    model = train.build(ARCHITECTURES[key], labels or labels_of(key), Weights("scratch"))
    model.save_pretrained(folder)
    return model


def resolve(config):
    return weights.resolve(config, algorithms.part(config.spec.key, "train").MODEL_TYPE, Events(config.run))


@pytest.mark.parametrize("choice", ["auto", "pretrained"])
@pytest.mark.usefixtures("_offline")
def test_the_sites_own_folder_is_used_first(tmp_path, choice):
    save(KEY, tmp_path / "site" / "resnet-50")
    chosen = resolve(config(tmp_path, initial_weights=choice, pretrained_folder=str(tmp_path / "site")))
    assert chosen == Weights("pretrained", tmp_path / "site" / "resnet-50")


@pytest.mark.usefixtures("_offline")
def test_auto_without_any_weights_starts_from_scratch_and_says_so(tmp_path):
    settings = config(tmp_path, initial_weights="auto")
    assert resolve(settings) == Weights("scratch")
    [warning] = events_of(settings.run, "warning")
    assert warning["code"] == "from_scratch"
    text = str(Message.from_json(warning))
    assert "from scratch" in text
    assert "microsoft/resnet-50" in text
    assert "HF_HUB_OFFLINE" in text


@pytest.mark.usefixtures("_offline")
def test_pretrained_without_any_weights_fails_with_the_reason(tmp_path):
    with pytest.raises(Failure) as caught:
        resolve(config(tmp_path, initial_weights="pretrained"))
    assert caught.value.code == "no_pretrained_weights"
    assert "HF_HUB_OFFLINE" in str(caught.value)


@pytest.mark.usefixtures("_offline")
def test_an_incomplete_or_foreign_folder_is_not_taken_for_the_weights(tmp_path):
    save("semantic_segmentation", tmp_path / "site" / "resnet-50")
    settings = config(tmp_path, initial_weights="auto", pretrained_folder=str(tmp_path / "site"))
    assert resolve(settings) == Weights("scratch")
    assert "segformer" in str(Message.from_json(events_of(settings.run, "warning")[0]))
    (tmp_path / "site" / "resnet-50" / "model.safetensors").unlink()
    assert resolve(settings) == Weights("scratch")


def test_scratch_asks_nobody(tmp_path):
    save(KEY, tmp_path / "site" / "resnet-50")
    assert resolve(config(tmp_path, initial_weights="scratch", pretrained_folder=str(tmp_path / "site"))) == Weights(
        "scratch"
    )


@pytest.mark.parametrize("folder", ["", "gone"])
def test_a_model_to_start_from_that_is_gone_fails(tmp_path, folder):
    with pytest.raises(Failure) as caught:
        resolve(config(tmp_path, initial_weights="0a1b2c", weights_folder=folder and str(tmp_path / folder)))
    assert caught.value.code == "no_weights"


def test_a_download_cannot_outlive_its_deadline(tmp_path, monkeypatch):
    """The hub is an address that never answers: the time limit ends it, whatever the client would wait."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        settings = config(tmp_path, initial_weights="auto", download_seconds=3)
        began = time.monotonic()
        assert resolve(settings) == Weights("scratch")
        assert time.monotonic() - began < 8
    assert "longer than 3 seconds" in str(Message.from_json(events_of(settings.run, "warning")[0]))


def test_a_site_without_network_fails_in_moments(tmp_path):
    """Nobody listens at the hub's address: no half minute of retries."""
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    environment.pop("HF_HUB_OFFLINE", None)
    began = time.monotonic()
    command = [sys.executable, "-m", "training.trainer.download", "microsoft/resnet-50", "main"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Connect" in done.stderr
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("key", algorithms.PACKAGES)
def test_a_new_label_set_gets_a_new_head_and_keeps_the_rest(tmp_path, key):
    train = algorithms.part(key, "train")
    old = save(key, tmp_path / "old").state_dict()
    model = train.build({}, OTHER_LABELS, Weights("model", tmp_path / "old"))
    new = model.state_dict()
    assert model.config.id2label == {i: f"class {i}" for i in range(5)}
    assert set(new) == {name for name in old if "num_batches_tracked" not in name or key != "object_detection"}
    changed = {name for name in new if new[name].shape != old[name].shape or not torch.equal(new[name], old[name])}
    heads = {"image_classification": "classifier", "semantic_segmentation": "decode_head.classifier"}
    assert changed
    assert all(name.startswith(heads.get(key, "class_labels_classifier")) for name in changed)


def test_other_labels_of_the_same_number_get_a_new_head_too(tmp_path):
    old = save(KEY, tmp_path / "old").state_dict()["classifier.1.weight"]
    build = algorithms.part(KEY, "train").build
    names = [label["name"] for label in labels_of(KEY)]
    same = build({}, labels_of(KEY), Weights("model", tmp_path / "old"))
    others = build({}, [{"id": 0, "name": names[1]}, {"id": 1, "name": names[0]}], Weights("model", tmp_path / "old"))
    assert torch.equal(same.state_dict()["classifier.1.weight"], old)
    assert not torch.equal(others.state_dict()["classifier.1.weight"], old)


def test_segformers_pretrained_encoder_gets_a_decode_head(tmp_path):
    """nvidia/mit-b3 is an encoder with ImageNet's classifier: the whole decode head is new, 768 wide."""
    from transformers import SegformerConfig, SegformerForImageClassification

    tiny = {name: value for name, value in ARCHITECTURES["semantic_segmentation"].items() if "decoder" not in name}
    encoder = SegformerForImageClassification(SegformerConfig(**tiny, num_labels=1000))
    encoder.save_pretrained(tmp_path / "mit-b3")
    model = algorithms.part("semantic_segmentation", "train").build(
        {}, OTHER_LABELS, Weights("pretrained", tmp_path / "mit-b3")
    )
    names = [name for name in encoder.state_dict() if name.startswith("segformer.")]
    assert names
    assert all(torch.equal(model.state_dict()[n], encoder.state_dict()[n]) for n in names)
    assert model.decode_head.classifier.weight.shape[:2] == (5, 768)


def test_weights_of_another_network_are_refused(tmp_path):
    """Of the right type, but with layers missing: they would silently be random."""
    save(KEY, tmp_path / "old")
    path = tmp_path / "old" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "depths": [1, 1, 2]}))
    with pytest.raises(Failure) as caught:
        algorithms.part(KEY, "train").build({}, OTHER_LABELS, Weights("model", tmp_path / "old"))
    assert caught.value.code == "wrong_weights"


# What DETR trains of its backbone: transformers' own code would freeze all of it.


def trainable(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_detr_from_scratch_trains_everything_batch_norm_included():
    model = algorithms.part("object_detection", "train").build({}, OTHER_LABELS, Weights("scratch"))
    assert trainable(model) == {name for name, _ in model.named_parameters()}
    assert 41_000_000 < sum(p.numel() for p in model.parameters()) < 42_000_000  # DETR-ResNet-50
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in model.model.backbone.modules())


def test_detr_from_pretrained_weights_freezes_stem_first_stage_and_batch_norm(tmp_path):
    save("object_detection", tmp_path / "detr-resnet-50")
    train = algorithms.part("object_detection", "train")
    model = train.build({}, OTHER_LABELS, Weights("pretrained", tmp_path / "detr-resnet-50"))
    frozen = {name for name, _ in model.named_parameters()} - trainable(model)
    assert frozen
    assert all(".embedder." in name or ".encoder.stages.0." in name for name in frozen)
    assert any(".encoder.stages.3." in name for name in trainable(model))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())


def test_detr_trained_from_scratch_loads_as_an_ordinary_detr_with_the_same_answers(tmp_path):
    """Learned batch norm is saved under the names of the frozen one that every other loader builds."""
    from transformers import DetrForObjectDetection

    trained = algorithms.part("object_detection", "train").build(
        ARCHITECTURES["object_detection"], OTHER_LABELS, Weights("scratch")
    )
    pixels = torch.randn(2, 3, 96, 96)
    trained.train()(pixel_values=pixels)  # moves the running statistics
    trained.eval().save_pretrained(tmp_path / "model")
    loaded = DetrForObjectDetection.from_pretrained(tmp_path / "model").eval()
    with torch.inference_mode():
        ours, theirs = (model(pixel_values=pixels) for model in (trained, loaded))
    assert torch.allclose(ours.logits, theirs.logits, atol=1e-5)
    assert torch.allclose(ours.pred_boxes, theirs.pred_boxes, atol=1e-5)


@pytest.mark.parametrize(
    ("key", "low", "high"), [(KEY, 23_500_000, 23_600_000), ("semantic_segmentation", 47_000_000, 47_500_000)]
)
def test_the_networks_are_the_guides(key, low, high):
    """ResNet-50 (without ImageNet's head) and SegFormer-B3, by their published numbers of parameters."""
    model = algorithms.part(key, "train").build({}, OTHER_LABELS, Weights("scratch"))
    assert low < sum(p.numel() for p in model.parameters()) < high
    assert trainable(model) == {name for name, _ in model.named_parameters()}
