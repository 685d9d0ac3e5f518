"""The edit of weights that read the pooled text, against the dense solution."""

import pytest
import torch

from concept_atelier.core.backbone import KeyValueWeight
from concept_atelier.core.erase.parts.settings import ClosedFormSettings
from concept_atelier.core.erase.registry import METHODS


class WithPooled:
    """The lab model, with one weight more, which reads a vector made of the letters of a sentence."""

    def __init__(self, backbone):
        self.backbone = backbone
        self.pooled = KeyValueWeight("pooled.weight", "pooled", torch.randn(5, 12, generator=seeded(0)))

    def __getattr__(self, name):
        return getattr(self.backbone, name)

    def key_value_weights(self):
        return (*self.backbone.key_value_weights(), self.pooled)

    def encode_pooled(self, texts, placeholders=None):
        return torch.cat([torch.randn(1, 12, generator=seeded(sum(map(ord, text)))) for text in texts])


def seeded(number):
    return torch.Generator().manual_seed(number)


@pytest.mark.parametrize(
    "name", [name for name, one in METHODS.items() if isinstance(one.preset("small"), ClosedFormSettings)]
)
def test_every_method_edits_it_by_the_ridge_solution(lab_backbone, name):
    backbone, method = WithPooled(lab_backbone), METHODS[name]
    settings = method.preset("small")
    erasure = method.erase(backbone, ["cat", "rocket"], ["dog", ""], ["crab"], settings)
    alone = method.erase(lab_backbone, ["cat", "rocket"], ["dog", ""], ["crab"], settings)
    assert set(erasure.factors) == {*alone.factors, "pooled.weight"}

    def mean(text):
        sentences = [template.replace("{}", text) if text else "" for template in settings.templates]
        rows = backbone.encode_pooled(sentences).double()
        return rows if settings.combine == "separate" else rows.mean(0, keepdim=True)

    c, g = torch.cat([mean("cat"), mean("rocket")]).T, torch.cat([mean("dog"), mean("")]).T  # (D, n)
    p, w = mean("crab").T, backbone.pooled.weight.double()
    kept = getattr(settings, "preserve_scale", 1.0)
    system = settings.damping * torch.eye(12) + c @ c.T + kept * p @ p.T
    right = settings.damping * w + w @ g @ c.T + kept * w @ p @ p.T
    wanted = right @ torch.linalg.inv(system) - w
    torch.testing.assert_close(erasure.factors["pooled.weight"].dense().double(), wanted, rtol=1e-3, atol=1e-4)


def test_a_model_without_one_is_not_asked(lab_backbone):
    method = METHODS["uce"]
    assert "pooled.weight" not in method.erase(lab_backbone, ["cat"]).factors
    with pytest.raises(ValueError, match="the lab model has no weight for the pooled text"):
        lab_backbone.encode_pooled(["a cat"])
