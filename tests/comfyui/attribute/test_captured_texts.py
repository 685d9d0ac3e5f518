"""Capture Attention where prompts have several texts, lengths, areas or tiles: each word's map lies where it is."""

import pytest
import torch

TEXT = "a photo of a cat and a hippopotamus"
SIZE = (12, 16)


def sums(maps):
    """How far the shares of all tokens are from one, at the worst cell."""
    return max(float((one.sum(1) - 1).abs().max()) for one in maps.cross.values())


def test_the_first_step_alone_gives_the_same_maps_whatever_the_guidance(parts_of, capture, sample, encode):
    """At step 0 the latent is the same: only rows and copies of keys differ between these calls."""
    parts = parts_of("sd15")

    def maps(batch=1, **changes):
        model, recorded_maps = capture(parts, end_percent=0.1)
        sample(parts, model, batch=batch, **changes)
        return recorded_maps.maps()

    alone = maps(cfg=1.0)
    long = " ".join(["a red cat on a green hill"] * 14)  # two passes of the text encoder: 154 positions
    for other in (maps(cfg=7.0), maps(cfg=7.0, negative=encode(parts, long)), maps(cfg=7.0, batch=2)):
        for grid, one in alone.cross.items():
            torch.testing.assert_close(other.cross[grid][:1], one, atol=1e-6, rtol=1e-4)
            assert other.cross_counts[grid] == alone.cross_counts[grid]


def test_prompts_of_unequal_length_keep_one_copy_of_the_keys(parts_of, capture, sample, show, encode):
    parts = parts_of("sdxl")
    long = " ".join(["a red cat on a green hill"] * 14)
    model, recorded_maps = capture(parts)
    inputs = {"positive": encode(parts, TEXT), "negative": encode(parts, long)}
    assert torch.equal(sample(parts, **inputs)["samples"], (drawn := sample(parts, model, **inputs))["samples"])
    assert sums(recorded_maps.maps()) < 1e-5
    assert all(one.shape[1] == 77 for one in recorded_maps.maps().cross.values())
    inputs = {"positive": encode(parts, long), "negative": encode(parts, "")}
    drawn = sample(parts, model, **inputs)
    assert sums(recorded_maps.maps()) < 1e-5
    assert all(one.shape[1] == 154 for one in recorded_maps.maps().cross.values())
    assert show(parts, recorded_maps, drawn, text=long, words="hill")[1].sum() > 0


def test_two_positive_conditionings_are_distinguished(parts_of, capture, sample, show, stock, encode):
    parts = parts_of("sd15")
    cat, dog = encode(parts, "a cat"), encode(parts, "a dog on grass")
    both = stock("ConditioningCombine", conditioning_1=cat, conditioning_2=dog)[0]
    model, recorded_maps = capture(parts)
    plain, drawn = sample(parts, positive=both), sample(parts, model, positive=both)
    assert torch.equal(plain["samples"], drawn["samples"])
    assert len(recorded_maps.runs[-1].parts) == 2
    assert show(parts, recorded_maps, drawn, text="a cat", words="cat")[1].sum() > 0
    assert show(parts, recorded_maps, drawn, text="a dog on grass", words="grass")[1].sum() > 0
    with pytest.raises(ValueError, match="not the text that was sampled.*2 texts"):
        show(parts, recorded_maps, drawn, text="a fox", words="fox")


@pytest.mark.parametrize("negative_has_it", [False, True])
def test_an_area_lies_where_it_is(parts_of, capture, sample, show, stock, encode, negative_has_it):
    parts = parts_of("sd15")
    place = {"width": 64, "height": 64, "x": 64, "y": 32, "strength": 1.0}
    area = stock("ConditioningSetArea", conditioning=encode(parts, "a dog"), **place)[0]
    whole, empty = encode(parts, "a cat"), encode(parts, "")
    inputs = {"positive": stock("ConditioningCombine", conditioning_1=whole, conditioning_2=area)[0], "negative": empty}
    if negative_has_it:  # ComfyUI then gives the positive side a copy under the negative's uuid
        inputs = {"positive": whole, "negative": stock("ConditioningSetArea", conditioning=empty, **place)[0]}
    model, recorded_maps = capture(parts)
    plain, drawn = sample(parts, **inputs), sample(parts, model, **inputs)
    assert torch.equal(plain["samples"], drawn["samples"])
    found = {
        (part.place.top, part.place.left, part.place.height, part.place.width) for part in recorded_maps.runs[-1].parts
    }
    assert found == {(0, 0, *SIZE), (4, 8, 8, 8)}
    assert show(parts, recorded_maps, drawn, text="a cat", words="cat")[1].gt(0).all()
    if not negative_has_it:
        mask = show(parts, recorded_maps, drawn, text="a dog", words="dog")[1][0]
        outside = mask.clone()
        outside[32:96, 64:128] = 0
        assert mask[32:96, 64:128].gt(0).all() and outside.sum() == 0


def test_tiles_that_are_cut_out_of_the_latent_are_laid_together(parts_of, capture, sample, show):
    """As tiling packs do it: a wrapper around the model that stacks tiles of the whole stack of conditionings."""
    parts = parts_of("sd15")

    def tiled(apply_model, args):
        x, t, c = args["input"], args["timestep"], dict(args["c"])
        cuts = [slice(0, 8), slice(8, 16)]
        c["c_crossattn"] = torch.cat([c["c_crossattn"]] * 2)
        out = apply_model(torch.cat([x[..., cut] for cut in cuts]), torch.cat([t] * 2), **c)
        return torch.cat(out.chunk(2), dim=-1)

    model, recorded_maps = capture(parts)
    model, plain_model = model.clone(), parts["model"].clone()
    model.set_model_unet_function_wrapper(tiled)
    plain_model.set_model_unet_function_wrapper(tiled)
    plain, drawn = sample(parts, plain_model, batch=2), sample(parts, model, batch=2)
    assert torch.equal(plain["samples"], drawn["samples"])
    found = {(part.place.left, part.place.width) for part in recorded_maps.runs[-1].parts}
    assert found == {(0, 8), (8, 8)}
    assert show(parts, recorded_maps, drawn, words="cat")[1].gt(0).all()


def test_weights_and_embeddings_in_the_prompt(parts_of, capture, sample, show, encode):
    parts = parts_of("sd15")
    text = "a (cat:1.3) on \\(blue\\) grass"
    model, recorded_maps = capture(parts)
    drawn = sample(parts, model, positive=encode(parts, text))
    assert show(parts, recorded_maps, drawn, text=text, words="cat, grass")[1].shape[0] == 2
    with pytest.raises(ValueError, match="not the text that was sampled"):
        show(parts, recorded_maps, drawn, text="a cat on \\(blue\\) grass", words="cat")
