"""Pictures of concepts or anchors: given ones divided and made smaller, drawn ones of their own texts."""

import pytest
import torch

from concept_atelier.core.erase.methods.few_shot import FewShotSettings
from concept_atelier.core.erase.parts.noised import Noised
from concept_atelier.core.erase.parts.pictures import pictures_of_task
from concept_atelier.core.erase.parts.task import EraseTask, TrainingRequest
from concept_atelier.core.sampling import draw_each

SETTINGS = FewShotSettings(templates=("a {}", "{}"), side=64, sampling_steps=2, guidance=2.0)
PAIRS = (("cat", "dog"), ("rocket", ""))


@pytest.fixture
def task_of(lab_backbone):
    return lambda pictures=None: EraseTask(
        lab_backbone, PAIRS, (), SETTINGS, training=TrainingRequest(pictures=pictures)
    )


def test_given_pictures_are_divided_in_order_and_made_no_larger_than_the_side(task_of, generator):
    pictures = torch.rand(4, 3, 96, 128, generator=generator)
    found = pictures_of_task(task_of(pictures), SETTINGS, 9, generator)
    assert found.concepts == (0, 0, 1, 1) and found.latents.shape == (4, 4, 8, 10)


def test_a_picture_is_mirrored_or_not(task_of, lab_backbone, generator):
    picture = torch.rand(1, 3, 64, 64, generator=generator)
    straight, mirrored = (lab_backbone.encode_image(one) for one in (picture, picture.flip(-1)))
    found = {
        min((0, 1), key=lambda which: float((one - (straight, mirrored)[which]).abs().max()))
        for seed in range(4)
        for one in pictures_of_task(
            task_of(picture.repeat(2, 1, 1, 1)), SETTINGS, 1, torch.Generator().manual_seed(seed)
        ).latents
    }
    assert found == {0, 1}


@pytest.mark.parametrize(("anchors", "texts"), [(False, ["a cat", "rocket"]), (True, ["a dog", ""])])
def test_the_model_draws_what_is_named_where_none_are_given(task_of, lab_backbone, anchors, texts):
    found = pictures_of_task(task_of(), SETTINGS, 1, torch.Generator().manual_seed(3), anchors)
    seeds = torch.randint(2**31, (2,), generator=torch.Generator().manual_seed(3)).tolist()
    wanted = draw_each(lab_backbone, texts, (8, 8), steps=2, guidance=2.0, seed=seeds)
    assert found.concepts == (0, 1)
    torch.testing.assert_close(found.latents, wanted)


def test_a_visit_knows_the_noise_that_it_put_in(task_of, lab_backbone, generator):
    pictures = pictures_of_task(task_of(torch.rand(2, 3, 64, 64, generator=generator)), SETTINGS, 1, generator)
    visit = Noised(task_of(), SETTINGS, pictures, 8, generator, latest=0.3).visit(0)
    assert sorted(visit.concepts.tolist()) == [0, 1] and int(visit.timestep.max()) < 300
    clean = lab_backbone.schedule.clean_from_target(visit.target, visit.latent, visit.timestep)
    torch.testing.assert_close(clean, pictures.latents[visit.concepts], rtol=1e-3, atol=1e-3)
