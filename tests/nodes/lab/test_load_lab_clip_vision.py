"""Load Lab CLIP Vision."""

import pytest
import torch

from concept_atelier.host.jobs.vision import picture_features
from concept_atelier.nodes import LoadLabClipVision


def test_it_looks_at_pictures_without_a_download(call, image):
    (vision,) = call(LoadLabClipVision).args
    with torch.inference_mode():
        features = picture_features(vision, torch.cat([image, image.flip(-1)]).movedim(-1, 1))
    assert features.shape == (2, 192) and features.norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert float(features[0] @ features[1]) < 0.99  # red for blue is another picture
