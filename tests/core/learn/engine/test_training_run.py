"""To what a saved state of a training belongs."""

import pytest

from concept_atelier.core.learn.engine.task import Task
from concept_atelier.core.learn.engine.training_run import fingerprint
from concept_atelier.core.learn.registry import METHODS


class Other:
    """A backbone of which one part is another's."""

    def __init__(self, backbone, **parts):
        self.backbone, self.parts = backbone, parts

    def __getattr__(self, name):
        return self.parts[name] if name in self.parts else getattr(self.backbone, name)


@pytest.mark.parametrize("part", ["weight_numbers", "encode_image", "schedule"])
def test_a_state_belongs_to_all_weights_to_the_autoencoder_and_to_the_noise_levels(
    lab_backbone, picture, concepts, part
):
    """A LoRA of a transformer changes its blocks alone, and another autoencoder or schedule no weight."""
    others = {
        "weight_numbers": lambda: {name: number + 1 for name, number in lab_backbone.weight_numbers().items()},
        "encode_image": lambda image: lab_backbone.encode_image(image) * 1.1,
        "schedule": type(lab_backbone.schedule)(lab_backbone.schedule.alphas_cumprod * 0.9),
    }
    settings = METHODS["conceptexpress"].preset("small")
    same, again, other = (
        fingerprint(Task("conceptexpress", backbone, picture, concepts, settings))
        for backbone in (lab_backbone, Other(lab_backbone), Other(lab_backbone, **{part: others[part]}))
    )
    assert same == again != other
