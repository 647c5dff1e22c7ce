"""Tensors grouped by their names into the steps they belong to: dense layers, batch norms, learned slopes, the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from dnnrun.interop.weights import Step, Weights

# Whole last parts of names, lower case, without a number behind.
KERNEL = {"kernel", "weight", "weights", "w", "coef", "coefs", "matrix"}
BIAS = {"bias", "biases", "b", "intercept", "intercepts"}
GAMMA, BETA = {"gamma", "scale", "g"}, {"beta", "offset", "center"}
MEAN = {"moving_mean", "running_mean", "mean", "pop_mean"}
VARIANCE = {"moving_variance", "running_var", "var", "variance", "moving_var", "running_variance", "pop_variance"}
SLOPE = {"alpha", "slope", "a"}
# Kept by training or by the framework, and no part of the network.
TRAINING = re.compile(
    r"(.*/)?(Momentum|Adam|Adam_\d+|RMSProp|RMSProp_\d+|Adagrad|ExponentialMovingAverage|Adadelta|Ftrl|Nesterov)"
    r"|(.*/)?(beta[12]_power(_\d+)?|global_step|save_counter|_CHECKPOINTABLE_OBJECT_GRAPH|top_level_model_weights)"
    r"|(.*[./])?(num_batches_tracked|seed_generator([./].*)?|seed_generator_state)"
    r"|((.*[./])?_?optimizer[./].*)"
)
# How frameworks write their dense kernels; other names carry no convention.
CONVENTION = {"kernel": "in_out", "coefs": "in_out", "coef": "in_out", "weight": "out_in"}
# What is no dense layer, though it may have a matrix.
RECURRENT = re.compile(r"(?i).*(recurrent|weight_(ih|hh)|bias_(ih|hh)|(^|[^a-z])(lstm|gru|rnn)([^a-z]|$)).*")
NOT_DENSE = re.compile(r"(?i).*(embed|attention|attn|in_proj).*")
NUMBERED = re.compile(r"(.*?[A-Za-z])_?(\d+)")


def plain(name: str) -> str:
    """A tensor's name without what TensorFlow and torch put around it."""
    name = name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").removesuffix(":0")
    return "/".join(part for part in name.split("/") if part)


def convention(name: str) -> str | None:
    """How a kernel of this name lies, None where the name does not say."""
    return CONVENTION.get(_split(name)[1])


def steps_by_name(weights: Weights) -> tuple[list[Step], list[str]]:
    """The steps in the file's order, and the tensors that belong to training alone."""
    passed, groups = list(weights.passed), {}
    for name in weights.tensors:
        if TRAINING.fullmatch(plain(name)):
            passed.append(name)
            continue
        scope, _ = _split(name)
        groups.setdefault(scope, []).append(name)
    steps: list[Step] = []
    for scope, names in groups.items():
        steps += _steps(scope, names, weights.tensors)
    return steps, passed


def _split(name: str) -> tuple[str, str]:
    """The scope that a tensor shares with others of its layer, and what it is there: `net/1` and `w` of net/w1."""
    short = plain(name).removesuffix(".tensor")
    at = max(short.rfind("/"), short.rfind("."))
    scope, last = short[: at + 1].rstrip("/."), short[at + 1 :]
    known = KERNEL | BIAS | GAMMA | BETA | MEAN | VARIANCE | SLOPE
    last = last.lstrip("_")
    if last.lower() in known:
        return scope, last.lower()
    if (match := NUMBERED.fullmatch(last)) and match[1].lower() in known:
        return f"{scope}/{match[2]}".lstrip("/"), match[1].lower()
    for role in sorted(known, key=len, reverse=True):  # hidden1_kernel, fc1_W
        if last.lower().endswith(f"_{role}") and len(role) > 1:
            return f"{scope}/{last[: -len(role) - 1]}".lstrip("/"), role
    if (match := re.fullmatch(r"(.+)_([WbwB])", last)) is not None:
        return f"{scope}/{match[1]}".lstrip("/"), match[2].lower()
    return f"{scope}/{last}".lstrip("/"), last.lower()


def _steps(scope: str, names: list[str], tensors: Mapping[str, np.ndarray]) -> list[Step]:
    """The steps that the tensors of one scope make."""
    for what, pattern in (("a recurrence", RECURRENT), ("no dense layer", NOT_DENSE)):
        if any(pattern.fullmatch(name) for name in names):
            return _others(scope, names, tensors, what)
    by_role: dict[str, str] = {}
    others: list[str] = []
    for name in names:
        role = _role(_split(name)[1])
        if role is None or role in by_role:
            others.append(name)
        else:
            by_role[role] = name
    rank = {role: tensors[name].ndim for role, name in by_role.items()}
    found: list[Step] = []
    if "mean" in by_role and "var" in by_role:
        norm = {role: by_role[role] for role in ("mean", "var") if role in by_role}
        kernel_too = rank.get("kernel") == 2  # a dense layer with its batch norm in one scope
        if "gamma" in by_role:
            norm["scale"] = by_role["gamma"]
        elif not kernel_too and rank.get("kernel") == 1:
            norm["scale"] = by_role.pop("kernel")
        if "beta" in by_role:
            norm["bias"] = by_role["beta"]
        elif not kernel_too and "bias" in by_role:
            norm["bias"] = by_role.pop("bias")
        if kernel_too:
            found.append(_dense(scope, by_role))
        found.append(Step("batch_norm", scope, norm))
        used = {"mean", "var", "gamma", "beta", "kernel", "bias"}
    elif rank.get("kernel") == 2:
        found.append(_dense(scope, by_role))
        used = {"kernel", "bias"}
    elif set(by_role) == {"kernel"} and (rank["kernel"] == 1):
        return [
            Step("activation", scope, {"slope": by_role["kernel"]}, {"type": "prelu"}),
            *_others(scope, others, tensors),
        ]
    else:
        used = set()
    if "slope" in by_role and rank["slope"] <= 2:
        found.append(Step("activation", scope, {"slope": by_role["slope"]}, {"type": "prelu"}))
        used = used | {"slope"}
    others += [name for role, name in by_role.items() if role not in used]
    return found + _others(scope, others, tensors)


def _dense(scope: str, by_role: Mapping[str, str]) -> Step:
    return Step("dense", scope, {role: by_role[role] for role in ("kernel", "bias") if role in by_role})


def _others(scope: str, names: list[str], tensors: Mapping[str, np.ndarray], what: str = "") -> list[Step]:
    """One step of all these, named so that a person knows it."""
    if not names:
        return []
    largest = max((tensors[name] for name in names), key=np.ndim)
    kind = what or ("a convolution" if largest.ndim in (3, 4, 5) else "of no known kind")
    shape = "x".join(map(str, largest.shape)) or "a scalar"
    found = {str(at): name for at, name in enumerate(names)}
    return [Step("other", scope, found, {"what": f"{scope or names[0]} is {kind} ({shape})"})]


def _role(last: str) -> str | None:
    for role, known in (
        ("kernel", KERNEL),
        ("bias", BIAS),
        ("gamma", GAMMA),
        ("beta", BETA),
        ("mean", MEAN),
        ("var", VARIANCE),
        ("slope", SLOPE),
    ):
        if last in known:
            return role
    return None
