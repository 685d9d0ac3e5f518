"""What reports say of labels."""

import torch

from concept_atelier.core.explain.labels import LabelFit, Meanings
from concept_atelier.host.jobs.explain.ingredients import beside_probe


def test_labels_that_few_pictures_bear_are_called_rough_by_name():
    def said(*pictures):
        fits = tuple(LabelFit(name, 0, 0.9, 0.9, count) for name, count in zip("abc", pictures, strict=True))
        return beside_probe(
            Meanings(fits, torch.ones(1), torch.zeros(1), torch.zeros(1).long(), "captions", tuple("abc"))
        )

    assert said(40, 19, 3)[-1] == "Rough figures: fewer than 20 pictures show, or lack, b, c."
    assert not any("Rough" in line for line in said(20, 20, 40))
