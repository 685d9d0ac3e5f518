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


def test_labels_that_a_model_guessed_are_called_guesses_and_those_of_people_not():
    fit, number = LabelFit("a", 0, 0.9, 0.9, 30), torch.zeros(1)
    for guessed in (True, False):
        known = Meanings((fit,), number, number, number.long(), "somebody", ("a",), guessed)
        assert ("guesses" in beside_probe(known)[0]) == guessed
