"""Methods that move the latent: what they move it to, and when they leave it."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.attention.record import AttentionRecorder
from concept_atelier.core.attention.selection import Selection
from concept_atelier.core.compose.composer import leave, share_of
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.compose.methods import attend_and_excite, localized_refinement
from concept_atelier.core.compose.parts import region_losses, steering
from concept_atelier.core.compose.parts.adapters import entries
from concept_atelier.core.compose.parts.region_guidance import RegionGuidance
from concept_atelier.core.compose.registry import METHODS
from concept_atelier.core.types import LowRank

PROMPT = "a cat and a rocket"
LEFT = torch.zeros(8, 8)
LEFT[:, :4] = 1
MASKS = (LEFT, 1 - LEFT)
MOVING = ("attend_and_excite", "localized_refinement", "lora_composer")


def composed(backbone, name, **options):
    concepts = [Concept(text, mask, **options) for text, mask in zip(("a cat", "a rocket"), MASKS, strict=True)]
    return compose(backbone, PROMPT, concepts, texts="texts" in METHODS[name].needs)


def moved(backbone, name, settings, composition=None, time=900):
    composition = composition or composed(backbone, name)
    run = METHODS[name].begin(composition, settings, share_of(backbone.schedule.steps))
    latent = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return latent, run.before(backbone, latent, torch.full((2,), time))


def maps_of(backbone, latent, time=900):
    """(2, L, 8, 8), mean attention to the prompt on the finest grid."""
    recorder = AttentionRecorder(Selection(kinds=("cross",), grids=((8, 8),)))
    with torch.no_grad(), recorder.recording(backbone):
        backbone.predict_noise(latent, torch.full((2,), time), backbone.encode_text([PROMPT] * 2))
    return recorder.maps().cross[(8, 8)]


def test_the_weakest_subject_gains_attention(lab_backbone):
    settings = attend_and_excite.ExciteSettings(scale=0.05, refinements=0)
    before, after = moved(lab_backbone, "attend_and_excite", settings)
    composition = composed(lab_backbone, "attend_and_excite")
    kept = attend_and_excite.competing(composition, False)
    subjects = [[kept.index(place) for place in region.subject] for region in composition.regions]
    weakest, later = (
        attend_and_excite.attended(maps_of(lab_backbone, latent)[:, kept], subjects, settings.sharpness).amin(1)
        for latent in (before, after)
    )
    assert bool((later > weakest).all())


@pytest.mark.parametrize("form", localized_refinement.FORMS)
def test_words_are_attended_more_in_their_own_regions(lab_backbone, form):
    settings = localized_refinement.RefineSettings(scale=0.05, form=form)
    before, after = moved(lab_backbone, "localized_refinement", settings)
    words = [list(region.words) for region in composed(lab_backbone, "localized_refinement").regions]
    first, then = (
        region_losses.refinement(
            torch.stack([maps_of(lab_backbone, latent)[:, places].mean(1) for places in words], 1),
            torch.stack(MASKS)[None],
            form,
        ).sum(1)
        for latent in (before, after)
    )
    assert bool((then < first).all())


@pytest.mark.parametrize("name", MOVING)
def test_a_picture_moves_the_same_alone_and_beside_others(lab_backbone, name):
    settings = replace(METHODS[name].preset("small"), **({"guidance": 5.0} if name == "lora_composer" else {}))
    latent, both = moved(lab_backbone, name, settings)
    run = METHODS[name].begin(composed(lab_backbone, name), settings, share_of(lab_backbone.schedule.steps))
    alone = run.before(lab_backbone, latent[1:], torch.full((1,), 900))
    torch.testing.assert_close(both[1:], alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize("off", ["weight", "scale", "span", "time"])
def test_the_same_tensor_comes_back_where_nothing_is_to_be_done(lab_backbone, name, off):
    settings = METHODS[name].preset("small")
    strength = "guidance" if name == "lora_composer" else "scale"
    settings = replace(settings, **{strength: 0.0 if off == "scale" else 5.0})
    settings = replace(settings, start=0.5, end=0.6) if off == "span" else settings
    composition = composed(lab_backbone, name, weight=0.0 if off == "weight" else 1.0)
    run = METHODS[name].begin(composition, settings, share_of(lab_backbone.schedule.steps))
    latent = torch.randn(1, 4, 8, 8)
    if run.before is not None:
        assert run.before(lab_backbone, latent, torch.tensor([50 if off == "time" else 900])) is latent


def test_gradients_pass_where_a_sampler_runs_in_inference_mode(lab_backbone):
    with torch.inference_mode():
        settings = attend_and_excite.ExciteSettings(scale=1.0, refinements=1)
        latent, after = moved(lab_backbone, "attend_and_excite", settings)
    assert not torch.equal(latent, after)


def test_a_model_without_gradients_is_refused_in_words():
    with pytest.raises(ValueError, match="passes no gradients"):
        steering.gradient_of(torch.zeros(1, 4, 2, 2), lambda moved: torch.ones(1))
    with pytest.raises(ValueError, match="not finite"):
        steering.gradient_of(torch.zeros(1, 4, 2, 2), lambda moved: (moved / moved.detach()).sum((1, 2, 3)))


def test_the_grid_that_is_read_is_the_nearest_in_cells(lab_backbone):
    for cells, size in ((16, (16, 24)), (4, (16, 16)), (100, (16, 16))):
        sites = steering.reading_sites(lab_backbone, size, cells)
        grids = {site.grid(size) for site in lab_backbone.attention_sites() if site.kind == "cross"}
        ratio = {grid: max(min(grid) / cells, cells / min(grid)) for grid in grids}
        assert len({site.grid(size) for site in sites}) == 1
        assert ratio[sites[0].grid(size)] == min(ratio.values())


def test_losses_know_a_region_that_is_filled():
    mask = torch.zeros(8, 8)
    mask[2:6, 0:4] = 1
    box = region_losses.box_of(mask)
    assert box == (2, 0, 6, 4)
    full, none = mask[None].clone(), torch.zeros(1, 8, 8)
    assert float(region_losses.filling(full, mask)) == 0 and float(region_losses.filling(none, mask)) == 1
    peak = region_losses.bell(box, (8, 8))
    assert float(peak[3:5, 1:3].mean()) > float(peak[2, 0]) > float(peak[7, 7])
    expected = 1 - peak.flatten().sort(descending=True).values[:4].mean()
    torch.testing.assert_close(region_losses.enhancement(full, mask, box), expected[None])
    own = torch.zeros(1, 64, 64)
    assert float(region_losses.straying(own, mask, box)) == 0
    own[0, 16, 63] = 0.5  # from row 2, column 0 to the last cell
    assert float(region_losses.straying(own, mask, box)) == pytest.approx(0.5 / 4)


def test_refinement_knows_maps_in_their_own_region_and_in_anothers():
    masks = torch.stack(MASKS)[None]
    torch.testing.assert_close(region_losses.refinement(masks, masks, "ratio"), torch.zeros(1, 2))
    torch.testing.assert_close(region_losses.refinement(masks, masks, "mse"), torch.zeros(1, 2))
    swapped = masks.flip(1)
    torch.testing.assert_close(region_losses.refinement(swapped, masks, "ratio"), torch.full((1, 2), 2.0))
    torch.testing.assert_close(region_losses.refinement(swapped, masks, "mse"), torch.ones(1, 2))


def test_the_noise_that_a_concept_suits_is_put_into_its_region():
    found = torch.zeros(8, 8)
    found[5:7, 4:6] = 1
    assert region_losses.best_window(found, (2, 2)) == (5, 4)


def test_renewed_noise_keeps_its_mean_and_spread(lab_backbone):
    settings = replace(METHODS["lora_composer"].preset("small"), renew=True)
    latent, after = moved(lab_backbone, "lora_composer", settings, time=lab_backbone.schedule.steps - 1)
    assert not torch.equal(latent, after)
    axes = (1, 2, 3)
    torch.testing.assert_close(after.mean(axes), latent.mean(axes), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after.std(axes), latent.std(axes), rtol=1e-3, atol=1e-4)


def test_two_of_a_kind_have_words_of_their_own(lab_backbone):
    red, blue = compose(
        lab_backbone, "a red cat and a blue cat", [Concept("a red cat"), Concept("a blue cat")], texts=False
    ).regions
    assert (red.words, red.subject) == ((1, 2, 3), (3,)) and (blue.words, blue.subject) == ((5, 6, 7), (7,))
    one, other = compose(lab_backbone, "a cat and a cat", [Concept("a cat"), Concept("a cat")], texts=False).regions
    assert one.words == (1, 2) and other.words == (4, 5)


def guided(backbone, adapter=None, masks=MASKS, **changes):
    """LoRA-Composer's guidance of one run, without the terms that are not named."""
    terms = {"guidance": 1.0, "fill": 0.0, "constrain": 0.0, **changes}
    texts = zip(("a cat", "a rocket"), masks, strict=True)
    composition = compose(backbone, PROMPT, [Concept(*one, adapter=adapter or {}) for one in texts])
    return RegionGuidance(composition, replace(METHODS["lora_composer"].preset("small"), **terms), leave)


@pytest.mark.parametrize("changes", [{}, {"fill": 20.0}, {"constrain": 20.0}])
def test_guidance_moves_the_latent_to_where_its_loss_is_less(lab_backbone, changes):
    latent, time = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.full((2,), 900)
    guidance, without = guided(lab_backbone, **changes), guided(lab_backbone)

    def loss(moved, of=guidance):
        return of._losses(lab_backbone, moved, time, 0.1)

    gradient, before = steering.gradient_of(latent, loss)
    torch.testing.assert_close(guidance.step(lab_backbone, latent, time, 0.1), latent - 0.95**0.5 * gradient)
    with torch.no_grad():
        assert not changes or not torch.allclose(before, loss(latent, without))
        small = 0.05 / float(gradient.flatten(1).norm(dim=1).max())
        assert bool((loss(latent - small * gradient) < before).all())


def test_guidance_reads_the_maps_of_a_regions_own_lora(lab_backbone, generator):
    latent, time = torch.randn(1, 4, 8, 8, generator=generator), torch.tensor([900])
    sites = [site.name for site in lab_backbone.attention_sites() if site.kind == "cross"]
    keys = [one for one in lab_backbone.attention_weights() if one.kind == "cross" and one.role == "key"]
    adapter = {
        (name, "key"): LowRank(torch.randn(one.shape[0], 1), torch.randn(1, one.shape[1]))
        for name, one in zip(sites, keys, strict=True)
    }
    with torch.no_grad():
        plain, adapted = (
            guided(lab_backbone, own)._maps(lab_backbone, latent, time, False)[0] for own in (None, adapter)
        )
    assert not torch.allclose(plain[0], adapted[0], atol=1e-3)


@pytest.mark.parametrize("cells", [2, 4, 8])
def test_guidance_reads_every_layer_of_its_grid(lab_backbone, generator, monkeypatch, cells):
    read, whole = [], RegionGuidance._map_of
    monkeypatch.setattr(RegionGuidance, "_map_of", lambda *given: read.append(given[1].call.site.name) or whole(*given))
    latent = torch.randn(1, 4, 16, 16, generator=generator)
    with torch.no_grad():
        guided(lab_backbone, cells=cells, constrain=1.0)._maps(lab_backbone, latent, torch.tensor([900]), True)
    sites = [site.name for site in steering.reading_sites(lab_backbone, (16, 16), cells)]
    assert read == [name for name in sites for _ in MASKS]


def test_gradients_pass_changes_that_were_read_in_inference_mode(lab_backbone):
    """As nodes read files: every projection of every layer changes in its region."""
    settings = replace(METHODS["lora_composer"].preset("small"), guidance=5.0)
    with torch.inference_mode():
        adapter = {
            place: LowRank(torch.randn(one.shape[0], 1), torch.randn(1, one.shape[1]))
            for one in lab_backbone.attention_weights()
            for place in [entries(lab_backbone)[one.name]]
        }
        composition = composed(lab_backbone, "lora_composer", adapter=adapter)
        latent, after = moved(lab_backbone, "lora_composer", settings, composition)
    assert not torch.equal(latent, after)


def test_a_region_of_the_whole_picture_leaves_the_renewed_noise_of_others(lab_backbone, generator):
    """A style that is listed behind the things: the right half gets the noise that suits its words as without it."""
    latent, time = torch.randn(1, 4, 8, 8, generator=generator), torch.tensor([999])
    masks = [(1 - LEFT, other) for other in (LEFT, torch.ones(8, 8))]
    alone, whole = (guided(lab_backbone, masks=one)._renewed(lab_backbone, latent, time)[..., 4:] for one in masks)
    assert not torch.allclose(whole, latent[..., 4:], atol=1e-2)
    alike = torch.corrcoef(torch.stack([alone.flatten(), whole.flatten()]))[0, 1]
    assert float(alike) > 0.99


def test_start_tokens_of_long_prompts_do_not_compete(lab_backbone):
    long = ", ".join([PROMPT] * 16)
    composition = compose(lab_backbone, long, [Concept("a cat"), Concept("a rocket")], texts=False)
    assert composition.starts == (0, 77) and composition.length == 154
    for own in (False, True):
        kept = attend_and_excite.competing(composition, own)
        assert 0 not in kept and 77 not in kept and {1, 76, 78} <= set(kept)
