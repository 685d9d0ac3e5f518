"""Localising on transformers of every family: pictures through one noised pass, tiny models at random weights.

Random weights find no objects: what is asked is that masks are disjoint and have cells, which layers and noise are
read, and that the model is as before.
"""

import pytest
import torch

FAMILIES = ("flux", "flux2", "flux2_dev", "chroma", "z_image", "lumina2", "krea2", "qwen_image", "anima", "sd3")
GRIDS = {"flux2": 16, "flux2_dev": 16}
NODES = ("LocalizeConcepts", "LocalizeWords")


@pytest.fixture
def localize(model_of, clip_of, small, run, image):
    """Run a node of localising on a family; without saliency, so that random weights leave no picture empty."""

    def go(node, family, picture=image, model=None, **changes):
        own = {"saliency_threshold": 0.0} if node == "LocalizeConcepts" else {"words": "red square, dog", "margin": 0.0}
        parts = {"model": model or model_of(family), "clip": clip_of(family), "vae": small.vae_of(family)}
        return run(node, **parts, image=picture, **(own | changes))

    return go


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("node", NODES)
def test_pictures_of_any_shape_are_taken_apart_and_the_model_is_left_alone(
    localize, model_of, small, stock, image, node, family
):
    model, text = model_of(family), small.conditioning(family)
    given = {"model": model, "positive": text, "negative": text, "latent_image": {"samples": small.latent(family)}}
    sampling = {"seed": 5, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    before = stock("KSampler", **given, **sampling)[0]["samples"]
    cell = GRIDS.get(family, 8) * (1 if family in GRIDS else 2)
    for picture in (image, image[:, :49, :80]):
        concepts, masks = localize(node, family, picture)[:2]
        size = tuple(picture.shape[1:3])
        assert masks.shape == (len(concepts), *size) and masks.sum(0).max() <= 1
        assert concepts.masks.flatten(1).any(1).all() and (concepts.masks.sum(0) <= 1).all()
        covered = [side // (16 if family in GRIDS else 8) * (16 if family in GRIDS else 8) for side in size]
        if node == "LocalizeWords":
            assert concepts.names == ("red-square", "dog")
            assert concepts.grid == tuple(-(-side // cell) for side in covered)
    assert torch.equal(stock("KSampler", **given, **sampling)[0]["samples"], before)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("node", NODES)
def test_blocks_and_noise_are_the_familys_unless_others_are_asked_for(localize, small, pack, node, family):
    record = pack("host.shared.families").FAMILIES[family.removesuffix("_dev")].transformer
    first = range(small.DEEP)
    start, end = record.default_blocks
    chosen = [
        at for at in first if int(start * small.DEEP) <= at < max(int(start * small.DEEP) + 1, round(end * small.DEEP))
    ]
    plain = localize(node, family)[0].targets
    assert torch.equal(plain, localize(node, family, blocks=", ".join(map(str, chosen)), noise=record.noise)[0].targets)
    other = next(at for at in first if [at] != chosen)
    for changes in ({"blocks": str(other)}, {"blocks": "all"}, {"noise": 0.1}):
        assert not torch.equal(localize(node, family, **changes)[0].targets, plain), changes


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("node", NODES)
def test_a_lora_in_force_changes_what_is_read(localize, model_of, small, node, family):
    model = model_of(family)
    key = small.query_weight(model)
    patched = model.clone()
    assert patched.add_patches({key: (torch.ones(model.model.state_dict()[key].shape) * 0.3,)}, 1.0)
    plain = localize(node, family)[0].targets
    assert not torch.equal(localize(node, family, model=patched)[0].targets, plain)
    assert torch.equal(localize(node, family)[0].targets, plain)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("node", NODES)
def test_it_can_be_cancelled(localize, comfyui, uninterrupted, node, family):
    import comfy.model_management as management

    localize(node, family)
    management.interrupt_current_processing(True)
    with pytest.raises(management.InterruptProcessingException):
        localize(node, family)


@pytest.fixture
def own_parts(model_of, clip_of, small):
    return lambda family: {"model": model_of(family), "clip": clip_of(family), "vae": small.vae_of(family)}


def default_blocks(small, pack, family):
    start, end = pack("host.shared.families").FAMILIES[family.removesuffix("_dev")].transformer.default_blocks
    first = int(start * small.DEEP)
    return ", ".join(str(at) for at in range(first, max(first + 1, round(end * small.DEEP))))


@pytest.mark.parametrize("family", FAMILIES)
def test_masks_get_targets_by_the_blocks_and_the_noise_of_the_family(own_parts, small, pack, run, image, masks, family):
    def targets(**changes):
        given = {"image": image, "masks": masks, "names": "red, green"} | changes
        return run("ConceptsFromMasks", **own_parts(family), **given)[0].targets

    record, plain = pack("host.shared.families").FAMILIES[family.removesuffix("_dev")].transformer, targets()
    assert torch.equal(plain, targets(blocks=default_blocks(small, pack, family), noise=record.noise))
    for changes in ({"blocks": "all"}, {"noise": 0.1}):
        assert not torch.equal(targets(**changes), plain), changes


@pytest.mark.parametrize("family", FAMILIES)
def test_concepts_are_matched_by_the_blocks_and_the_noise_of_the_family(
    own_parts, small, pack, run, image, masks, monkeypatch, family
):
    parts, module = own_parts(family), pack("nodes.localize.match_concepts")
    concepts = run("ConceptsFromMasks", **parts, image=image, masks=masks, names="red, green")[0]
    made, plain = [], module.match
    monkeypatch.setattr(module, "match", lambda *args: made.append(plain(*args)) or made[-1])
    given = {"image": image, "concepts": concepts, "other_image": image.flip(2), "other_concepts": concepts}
    record = pack("host.shared.families").FAMILIES[family.removesuffix("_dev")].transformer
    own = {"blocks": default_blocks(small, pack, family), "noise": record.noise}
    for changes in ({}, own, {"blocks": "all"}, {"noise": 0.1}):
        run("MatchConcepts", **parts, **given, **changes)
    ours, same, every, quiet = (found.cosines for found in made)
    assert torch.equal(ours, same) and not torch.equal(every, ours) and not torch.equal(quiet, ours)
