"""Load Lab CLIP Vision."""

import torch

from concept_atelier.host.jobs.vision import picture_features
from concept_atelier.nodes import LoadLabClipVision


def test_it_looks_at_pictures_without_a_download(call, image):
    (vision,) = call(LoadLabClipVision).args
    with torch.inference_mode():
        features = picture_features(vision, image.movedim(-1, 1))
    assert features.shape == (1, 192) and features.norm().item() - 1 < 1e-5
