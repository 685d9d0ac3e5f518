from dataclasses import replace

from concept_atelier.core.attack.run import attack


def test_the_first_three_other_things_are_erased_further(task, lab_backbone):
    asked = []

    def erase_more(words):
        asked.append(tuple(words))
        return lab_backbone

    attack(replace(task(erase_more=erase_more), others=("dog", "car", "tree", "house", "ball")), ["sequence"])
    assert asked == [("dog", "car", "tree")]
