"""The start and end of a concept, in every method: outside its span it is as a concept without weight."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.compose.composer import share_of
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.compose.registry import METHODS
from concept_atelier.core.sampling import with_rows

PROMPT = "a cat and a rocket"
LEFT = torch.zeros(8, 8)
LEFT[:, :4] = 1
ACTING = [name for name, method in METHODS.items() if method.areas is None and name != "plain"]


def predicted(backbone, name, **cat):
    """The latent that a method goes on with, and the noise that the model predicts, at a tenth of denoising."""
    method = METHODS[name]
    concepts = [Concept("a cat", LEFT, **cat), Concept("a rocket", 1 - LEFT)]
    needs = {"texts": {"texts", "branches"} & {*method.needs} != set(), "branches": "branches" in method.needs}
    composition = compose(backbone, PROMPT, concepts, **needs)
    settings = replace(method.preset("paper"), **({"refinements": 0} if name == "attend_and_excite" else {}))
    run = method.begin(composition, settings, share_of(backbone.schedule.steps))
    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    time = torch.tensor([round(0.9 * (backbone.schedule.steps - 1))])
    if run.before is not None:
        latent = run.before(backbone, latent, time)
    with torch.no_grad(), backbone.edit_attention(run.edit):
        return latent, backbone.predict_noise(latent, time, with_rows(composition.conditioning, 1))


@pytest.mark.parametrize("name", ACTING)
def test_outside_its_span_a_concept_is_as_one_without_weight(lab_backbone, name):
    without = predicted(lab_backbone, name, weight=0.0)
    for span in ({"start": 0.3}, {"end": 0.05}):
        for found, expected in zip(predicted(lab_backbone, name, **span), without, strict=True):
            torch.testing.assert_close(found, expected)
    within = predicted(lab_backbone, name, start=0.05, end=0.3)
    assert not torch.allclose(within[1], without[1], atol=1e-5)
