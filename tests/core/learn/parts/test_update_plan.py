"""The updates of a training whose concepts are split at first."""

import pytest

from concept_atelier.core.learn.parts.update_plan import UpdatePlan


@pytest.mark.parametrize("joint", [True, False])
def test_an_update_a_step_holds_all_prompts(joint):
    plan = UpdatePlan(4, 1, 3, joint, False, "a photo of {}").updates(["a", "b"])
    assert [update.split for update in plan] == [True, False, False, False]
    assert [len(update.prompts) for update in plan] == [6, *[2 + joint] * 3]
    assert all(update.first_of_step for update in plan)


def test_an_update_a_prompt_names_all_concepts_last():
    plan = UpdatePlan(3, 1, 2, True, True, "a photo of {}").updates(["a", "b"])
    assert len(plan) == 1 * 2 * 2 + 2 * (2 + 1)
    assert [update.first_of_step for update in plan] == [True, False, False, False, *[True, False, False] * 2]
    assert plan[-1].prompts[0].members == (0, 1)
