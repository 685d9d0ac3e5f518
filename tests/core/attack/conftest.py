import pytest

from concept_atelier.core.attack.parts.settings import AttackSettings
from concept_atelier.core.attack.parts.task import AttackTask


class Bright:
    """Finds a concept in pictures that are brighter than grey; what it looked at is kept."""

    def __init__(self):
        self.seen = []

    def found(self, pictures):
        self.seen.append(pictures)
        return pictures.mean((1, 2, 3)) > 0.5


QUICK = AttackSettings(
    draws=2,
    steps=2,
    guidance=2.0,
    side=32,
    batch=2,
    shown=2,
    learn_steps=2,
    inversion_passes=1,
    relearn_steps=2,
    relearn_every=1,
    relearn_rank=1,
)


@pytest.fixture(scope="session")
def task(lab_backbone):
    """An attack on the lab model at random weights, from which nothing was erased."""

    def make(**changes):
        given = {"detector": Bright(), "settings": QUICK, "erase_more": lambda words: lab_backbone}
        given |= {"synonyms": ("kitty",), "relatives": ("animal",)}
        return AttackTask(lab_backbone, lab_backbone, "cat", ("dog", "car"), **(given | changes))

    return make
