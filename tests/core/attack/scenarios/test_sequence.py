from dataclasses import replace

from concept_atelier.core.attack.run import attack
from concept_atelier.core.erase.guards.guard import GuardRun


def test_the_first_three_other_things_are_erased_further(task, lab_backbone):
    asked = []

    def erase_more(words):
        asked.append(tuple(words))
        return lab_backbone

    attack(replace(task(erase_more=erase_more), others=("dog", "car", "tree", "house", "ball")), ["sequence"])
    assert asked == [("dog", "car", "tree")]


def test_a_guard_asks_the_model_that_is_drawn(task, lab_backbone):
    erased, further = (type(lab_backbone)(lab_backbone.model, lab_backbone.clip, lab_backbone.vae) for _ in range(2))
    begun = []

    def guard(backbone):
        begun.append(backbone)
        return GuardRun()

    given = task(guard=guard, erase_more=lambda words: further)
    attack(replace(given, erased=erased), ["names", "img2img", "sequence"])
    assert begun == [erased, erased, further]
