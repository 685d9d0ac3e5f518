"""The nodes that show and edit words, on ComfyUI's own models, small and with random weights."""

import pytest
import torch

FAMILIES = ("lab", "sd15", "sd2", "sdxl")
TEXT = "a cat and a rocket"
PICTURE = torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def wires(parts_of):
    def go(family):
        parts = parts_of(family)
        return {name: parts[name] for name in ("model", "clip", "vae")}

    return go


@pytest.mark.parametrize("family", FAMILIES)
def test_words_are_measured(wires, run, family):
    given = {"image": PICTURE, "text": TEXT, "words": "cat, rocket", "draws": 1, "seed": 1}
    maps, masks = run("ShowWordInformation", **wires(family), **given)
    assert len(maps) == 2 and masks.shape == (2, 64, 96)


@pytest.mark.parametrize("family", FAMILIES)
def test_concepts_beside_the_prompt_are_refused_by_name(wires, run, pack, family):
    """There is no joint attention for them to take part in."""
    with pytest.raises(pack("host.adapters").UnsupportedModelError, match="supported are the lab transformer"):
        run("ShowConceptHeatmap", **wires(family), image=PICTURE, text=TEXT, concepts="dog")


@pytest.mark.parametrize("family", FAMILIES)
def test_words_are_compared(wires, run, family):
    given = {"image": PICTURE, "text": TEXT, "words": "cat, rocket", "levels": 1, "draws": 1, "seed": 1}
    sheet, maps, table = run("CompareWords", **wires(family), **given, masks=torch.ones(2, 32, 48))
    assert len(sheet) == 1 and maps.shape == (6, 64, 96) and len(table.splitlines()) == 7
    assert torch.equal(run("CompareWords", **wires(family), **given)[1], maps)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_is_edited_by_its_words(wires, run, family):
    given = {"prompt": TEXT, "edited_prompt": "a cat and a dog", "width": 64, "height": 96, "steps": 2, "seed": 1}
    before, after, region = run("EditByWords", **wires(family), **given)
    assert before.shape == after.shape == (1, 96, 64, 3) and region.shape == (1, 96, 64)
    assert not torch.allclose(before, after, atol=1e-4)
    assert torch.equal(run("EditByWords", **wires(family), **given)[1], after)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_focus_of_a_word_is_audited(wires, run, family):
    mask = torch.zeros(1, 64, 96)
    mask[..., :48] = 1
    given = {"image": PICTURE, "text": TEXT, "word": "cat", "levels": 2, "seed": 1}
    outside, drawn, table = run("AuditFocus", **wires(family), **given, mask=mask)
    assert 0 < outside < 1 and len(drawn) == 1 and "input_blocks." in table
    other = run("AuditFocus", **wires(family), **given, mask=1 - mask)[0]
    assert outside + other == pytest.approx(1, abs=1e-4)


def test_an_edit_that_gives_nothing_leaves_every_bit(parts_of, pack):
    parts = parts_of("sd15")
    backbone = pack("host.comfy.backbone").ComfyBackbone(parts["model"], parts["clip"])
    latent, time = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([500])
    text = backbone.encode_text([TEXT])
    with torch.no_grad():
        before = backbone.predict_noise(latent, time, text)
        with backbone.edit_attention(lambda inputs: None):
            assert torch.equal(backbone.predict_noise(latent, time, text), before)
        seen = []
        with backbone.edit_attention(lambda inputs: seen.append(inputs.call.site.name)):
            backbone.predict_noise(latent, time, text)
    assert tuple(seen) == tuple(site.name for site in backbone.attention_sites())
