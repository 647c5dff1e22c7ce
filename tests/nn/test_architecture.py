"""Names, shapes and defaults of layers and tensors."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dnnrun.nn.architecture import Architecture, Model, lay_out
from dnnrun.nn.network import Network, Split, initial_tensors


def planned(**model: Any) -> Architecture:
    return lay_out(Model.model_validate({"hidden": [7, 5], **model}), 6, 4)


def names(**model: Any) -> list[str]:
    return [tensor.name for tensor in planned(**model).tensors]


def test_tensor_names_and_shapes() -> None:
    found = {t.name: t.shape for t in planned(batch_norm={"logits": True}, activation="prelu").tensors}
    assert found == {
        "hidden1/kernel": (6, 7),
        "hidden1/bias": (7,),
        **{f"hidden1/batch_norm/{part}": (7,) for part in ("scale", "bias", "mean", "var")},
        "hidden1/activation/slope": (7,),
        "hidden2/kernel": (7, 5),
        "hidden2/bias": (5,),
        **{f"hidden2/batch_norm/{part}": (5,) for part in ("scale", "bias", "mean", "var")},
        "hidden2/activation/slope": (5,),
        "outputs/kernel": (5, 4),
        "outputs/bias": (4,),
        **{f"outputs/batch_norm/{part}": (4,) for part in ("scale", "bias", "mean", "var")},
    }


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"bias": False, "batch_norm": {"scale": False, "logits": True}},
        {"batch_norm": {"center": False, "position": "after"}, "activation": {"type": "prelu", "shared": True}},
    ],
)
def test_the_network_holds_exactly_the_tensors_of_the_plan(model: dict[str, Any]) -> None:
    plan = planned(**model)
    values = initial_tensors(plan, 0)
    assert list(values) == [tensor.name for tensor in plan.tensors]
    assert {name: value.shape for name, value in values.items()} == {t.name: t.shape for t in plan.tensors}
    network = Split(plan).merge(values)
    assert isinstance(network, Network)
    assert set(Split.statistics(network)) == {tensor.name for tensor in plan.tensors if tensor.statistic}
    assert plan.misfit({name: value.shape for name, value in values.items()}) is None


def test_what_does_not_fit_is_named() -> None:
    plan = planned()
    shapes = {tensor.name: tensor.shape for tensor in plan.tensors}
    without = {name: shape for name, shape in shapes.items() if name != "hidden2/bias"}
    assert plan.misfit(without) == "has no tensor hidden2/bias, which the network wants"
    wrong = {**shapes, "hidden1/bias": (8,)}
    assert plan.misfit(wrong) == "tensor hidden1/bias has shape [8], the network wants [7]"
    assert plan.misfit({**shapes, "more/bias": (1,)}) == "has tensors that the network has not: more/bias"


def test_batch_norm_parts_are_optional_and_logits_have_none_unless_said() -> None:
    assert "hidden1/batch_norm/scale" not in names(batch_norm={"scale": False})
    assert "hidden1/batch_norm/bias" not in names(batch_norm={"center": False})
    assert "outputs/batch_norm/mean" not in names(batch_norm=True)
    assert "hidden1/bias" in names(batch_norm=True)
    assert "hidden1/bias" not in names(batch_norm=True, bias=False)
    assert not [name for name in names(batch_norm=False) if "batch_norm" in name]


def test_a_layer_overrides_the_model() -> None:
    plan = planned(
        hidden=[
            {"units": 7, "activation": "tanh", "batch_norm": False, "dropout": 0.0, "bias": False},
            {"units": 5, "initializer": "zeros", "batch_norm": {"momentum": 0.5}},
            3,
        ],
        activation="selu",
        batch_norm={"momentum": 0.99},
        dropout=0.4,
    )
    first, second, third, outputs = plan.layers
    assert (first.activation.type, first.batch_norm, first.dropout, first.bias) == ("tanh", None, 0.0, False)  # pyright: ignore[reportAttributeAccessIssue]
    assert second.batch_norm is not None
    assert second.batch_norm.momentum == 0.5
    assert third.batch_norm is not None
    assert third.batch_norm.momentum == 0.99
    assert (second.dropout, third.dropout, outputs.dropout) == (0.4, 0.4, 0.0)
    assert [layer.why_initializer for layer in plan.layers] == [
        "the default for tanh", "set for this layer", "the default for selu", "the default for logits",
    ]  # fmt: skip
    kinds = [layer.initializer.type for layer in plan.layers]  # pyright: ignore[reportAttributeAccessIssue]
    assert kinds == ["glorot_uniform", "zeros", "lecun_normal", "glorot_uniform"]


def test_an_initializer_of_the_model_is_also_that_of_the_outputs() -> None:
    plan = planned(initializer="orthogonal")
    assert {layer.initializer.type for layer in plan.layers} == {"orthogonal"}  # pyright: ignore[reportAttributeAccessIssue]


def test_counts() -> None:
    plan = planned(batch_norm={"logits": True})
    assert plan.parameters() == 6 * 7 + 7 + 7 * 5 + 5 + 5 * 4 + 4 + 2 * (7 + 5 + 4)
    assert len(plan.tensors) == 18
    assert sum(not tensor.statistic for tensor in plan.tensors) == 12


def test_a_layer_draws_the_same_whatever_the_other_layers_are() -> None:
    small, large = (initial_tensors(planned(hidden=hidden), 5) for hidden in ([7, 5], [7, 5, 9]))
    for name in ("hidden1/kernel", "hidden2/kernel"):
        assert small[name].tobytes() == large[name].tobytes()
    other = initial_tensors(planned(), 6)
    assert other["hidden1/kernel"].tobytes() != small["hidden1/kernel"].tobytes()


@pytest.mark.parametrize("hidden", [[0], [-1], [True], [1.5], ["7"], [{"units": 7, "unit": 1}]])
def test_sizes_that_are_none(hidden: list[Any]) -> None:
    with pytest.raises(ValidationError):
        planned(hidden=hidden)
