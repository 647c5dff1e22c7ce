from __future__ import annotations

from dnnrun.diagnose.case import Case
from dnnrun.diagnose.measure import Look
from dnnrun.diagnose.remedy import Allowance, find_remedy
from dnnrun.spec.sections import Spec
from tests.deepnets import deep


def test_remedies_have_a_time() -> None:
    """What there is no time for is named, and what was tried is judged all the same."""
    spec, now = deep(60, "logistic", "glorot_uniform"), [0.0]
    ill = {"pre_activation": {"std": 1.0}, "saturated": 0.9, "dead": None}
    layers = {f"hidden{n}": {**ill, "gradient": {"std": 1.0}} for n in (1, 2)}
    names: list[str] = []

    def see(spec: Spec, steps: int, name: str, left: float | None) -> Look:
        assert left is not None
        assert 0 < left <= 100 - now[0]
        names.append(name)
        now[0] += 30
        return Look(
            spec, {**layers, "hidden2": {**layers["hidden2"], "saturated": 0.9 if len(names) < 3 else 0.0}}, None
        )

    original = Look(spec, layers, None)
    found = find_remedy(spec, original, see, 300, Allowance(100, 10, lambda: now[0]))
    assert [tried.name for tried in found.tried] == ["orthogonal + tanh", "he_normal + elu", "lecun_normal + selu"]
    assert names[0] == "orthogonal + tanh (1 of 5)"
    assert list(found.untried) == ["batch norm", "he_normal + elu + batch norm"]
    case = Case("spec", spec, original, original.findings(), found)
    told = "not tried, for want of time (--remedy-seconds 100): batch norm, he_normal + elu + batch norm"
    assert told in case.account()
    assert case.as_json()["remedy"]["untried"] == ["batch norm", "he_normal + elu + batch norm"]
    none = find_remedy(spec, original, see, 300, Allowance(5, 10, lambda: now[0]))
    assert none.tried == []
    assert Case("spec", spec, original, original.findings(), none).account()[-1] == "none was tried"
