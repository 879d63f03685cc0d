"""Beginning with another model's weights: what is taken, what is not, and what frozen means."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fourfold.data.schema import Schema
from fourfold.engine.terms import versions
from fourfold.errors import UsageError
from fourfold.families.cnn.family import Cnn
from fourfold.families.cnn.settings import CnnSettings
from fourfold.families.warmstart import freeze, warm_start
from fourfold.model import Model
from fourfold.modelfile import Origin, read
from fourfold.runtime import generator, start

Built = dict[str, nn.Module]


def family(classes: str, **settings: Any) -> Cnn:
    return Cnn(Schema(kind="image", shape=(1, 12, 12), classes=tuple(classes)), chosen(**settings))


def chosen(**settings: Any) -> CnnSettings:
    return CnnSettings.resolve(**{"preset": "small", "width": 4, **settings})


def built(classes: str, seed: int, **settings: Any) -> Built:
    networks = family(classes, **settings).build(generator(seed))
    for _, tensor in tensors(networks).items():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1, generator=generator(seed, "moments"))  # moments and norms do not start random
    return networks


def tensors(networks: Built) -> dict[str, Tensor]:
    return {f"{name}.{key}": t for name, network in networks.items() for key, t in network.state_dict().items()}


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, Tensor]:
    """Those of a model for classes a, b and c, as its file has them."""
    told = {"data": "arrays", "fingerprint": "", "created": "", "device": "cpu"}
    origin = Origin(**told, examples={}, epochs=1, epoch=1, seconds=0, versions=versions())
    saved = Model(family("abc"), built("abc", 1), {}, origin, start("cpu")).save(tmp_path / "model")
    return read(saved)[1]


def test_the_trunk_is_taken_and_another_tasks_head_is_not(weights: dict[str, Tensor]) -> None:
    for classes in ("abcd", "xyz"):
        networks = built(classes, 2)
        before = {name: tensor.clone() for name, tensor in tensors(networks).items()}
        copied = warm_start(networks, weights, same_classes=False)
        assert copied == {name for name in before if not name.startswith("classifier.head.")}
        for name, tensor in tensors(networks).items():
            assert torch.equal(tensor, weights[name] if name in copied else before[name])


def test_the_same_classes_take_the_head_too(weights: dict[str, Tensor]) -> None:
    networks = built("abc", 2)
    assert warm_start(networks, weights, same_classes=True) == weights.keys()
    x = torch.rand(3, 1, 12, 12)
    first = built("abc", 1)["classifier"].eval()
    assert torch.equal(networks["classifier"].eval()(x), first(x))


def test_a_classifier_takes_an_encoders_trunk(weights: dict[str, Tensor]) -> None:
    encoder = {name.replace("classifier.", "encoder."): tensor for name, tensor in weights.items()}
    others = {"decoder.out.weight": torch.zeros(3, 3)}
    networks = built("xy", 2)
    copied = warm_start(networks, {**encoder, **others}, same_classes=False)
    assert copied
    assert all(torch.equal(tensors(networks)[name], weights[name]) for name in copied)
    twice = {**encoder, **{name.replace("classifier.", "critic."): tensor for name, tensor in weights.items()}}
    with pytest.raises(UsageError, match="nothing of that model fits"):  # which of the two is meant?
        warm_start(built("xy", 2), twice, same_classes=False)


def test_what_does_not_fit_is_refused(weights: dict[str, Tensor]) -> None:
    with pytest.raises(UsageError, match="same preset and width"):
        warm_start(built("abc", 2, preset="classic", width=0, dropout=0.0), weights, same_classes=True)


def test_frozen_weights_and_moments_stay_and_the_rest_learns(weights: dict[str, Tensor]) -> None:
    networks = built("ab", 2)
    copied = warm_start(networks, weights, same_classes=False)
    freeze(networks, copied)
    before = {name: tensor.clone() for name, tensor in tensors(networks).items()}
    classifier = networks["classifier"].train()
    trained = [p for p in classifier.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, 0.1)
    x, y = torch.rand(8, 1, 12, 12), torch.tensor([0, 1] * 4)
    for _ in range(2):
        classifier.train()  # as the engine does after each look at validation
        cross_entropy(classifier(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    changed = {name for name, tensor in tensors(networks).items() if not torch.equal(tensor, before[name])}
    assert changed == {"classifier.head.weight", "classifier.head.bias"}


def test_frozen_with_nothing_left_is_refused(weights: dict[str, Tensor]) -> None:
    body = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(UsageError, match="without --freeze"):
        freeze({"encoder": body}, {"encoder.0.weight", "encoder.0.bias"})
