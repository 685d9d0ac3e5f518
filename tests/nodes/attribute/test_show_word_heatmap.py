"""Show Word Heatmap: whose tokens make a word, which text, which pictures."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.attention.words import find_word
from concept_atelier.core.files import save_tensors
from concept_atelier.host.adapters import backbone_of
from concept_atelier.host.jobs.attribute.prompt_in_workflow import sampled_prompt
from concept_atelier.host.jobs.attribute.sampled_text import pieces_of, read_text
from concept_atelier.host.workflow.stock.texts import CLIPTextEncode
from concept_atelier.nodes import CaptureAttention, EncodeConceptPrompt, ShowWordHeatmap

TEXT = "a cat, a hippopotamus and a cat on blue"


@pytest.fixture
def sampled(call, sockets, draw):
    """What Show Word Heatmap needs of a run: capture, clip, samples."""

    def run(text=TEXT, positive=None, batch=1):
        listening, capture = call(CaptureAttention, model=sockets["model"], least_grid=1).args
        samples = draw(listening, text=text, positive=positive, batch=batch)
        return {"capture": capture, "clip": sockets["clip"], "samples": samples}

    return run


def absolute(call, given, words, **more):
    plain = {"text": TEXT, "normalise": "absolute", "per_cell": False}
    return call(ShowWordHeatmap, **given, **(plain | more), words=words)[1]


def test_a_word_is_the_mean_over_its_sub_tokens_and_all_its_places(call, sampled, sockets):
    given = sampled()
    read = backbone_of(clip=sockets["clip"]).tokenize(TEXT)
    attention = given["capture"].maps().combined_cross((64, 96))
    for word, places in (("cat", 2), ("hippopotamus", 1)):
        found = find_word(read, word)
        assert len(found) == places
        positions = [position for run in found for position in run]
        assert len(positions) > 1
        expected = attention[:, positions].mean(1).clamp(0, 1)
        torch.testing.assert_close(absolute(call, given, word), expected, atol=1e-6, rtol=1e-4)


def test_without_words_every_word_is_shown_once(call, sampled):
    given = sampled()
    shown = absolute(call, given, "")
    names = "a, cat, hippopotamus, and, on, blue"
    assert torch.equal(shown, absolute(call, given, names)) and len(shown) == 6


def test_a_thousand_equal_words_are_one(call, sampled):
    given = sampled()
    assert torch.equal(absolute(call, given, ", ".join(["cat", "blue"] * 500)), absolute(call, given, "cat, blue"))


def test_a_conditioning_of_another_models_clip_is_refused(call, sampled):
    with pytest.raises(ValueError, match="the CONDITIONING is 768 wide and this CLIP encodes 192"):
        absolute(call, sampled(), "cat", conditioning=[[torch.zeros(1, 77, 768), {}]])


def test_shares_per_cell_of_all_the_texts_tokens_sum_to_one(call, sampled):
    given = sampled(text="cat blue")
    both = absolute(call, given, "cat, blue", text="cat blue", per_cell=True)
    tokens = [
        len(run)
        for word in ("cat", "blue")
        for run in find_word(backbone_of(clip=given["clip"]).tokenize("cat blue"), word)
    ]
    total = sum(heat * count for heat, count in zip(both, tokens, strict=True))
    torch.testing.assert_close(total, torch.ones(64, 96), atol=1e-4, rtol=0)


def test_relative_maps_fill_their_range(call, sampled):
    masks = call(ShowWordHeatmap, **sampled(), text=TEXT, words="cat, blue")[1]
    assert masks.shape == (2, 64, 96)
    assert torch.equal(masks.amin((1, 2)), torch.zeros(2)) and torch.equal(masks.amax((1, 2)), torch.ones(2))


def test_a_batch_has_a_map_for_each_picture_words_first(call, sampled, generator):
    given = sampled(batch=2)
    pictures = torch.rand(2, 64, 96, 4, generator=generator)
    shown, masks = (result := call(ShowWordHeatmap, **given, text=TEXT, words="cat, blue", image=pictures)).args
    assert len(shown) == len(masks) == 4
    assert len(result.ui["images"]) == 1
    maps = absolute(call, given, "blue", per_cell=True)
    assert torch.equal(masks[2:].flatten(1).argmax(1), maps.flatten(1).argmax(1))
    assert not torch.allclose(masks[0], masks[1], atol=1e-3)


def test_maps_have_the_size_of_the_picture_laid_under_them(call, sampled):
    given = sampled()
    masks = call(ShowWordHeatmap, **given, text=TEXT, words="cat", image=torch.zeros(1, 100, 50, 1))[1]
    assert masks.shape == (1, 100, 50)


def test_learnt_tokens_are_words_too(call, sampled, sockets, tokens):
    text = "a photo of <red>, and <2>"
    encoded = call(EncodeConceptPrompt, clip=sockets["clip"], tokens=tokens, text=text)[0]
    given = sampled(positive=encoded)
    one = absolute(call, given, "<red>", text=text, tokens=tokens)
    all_words = absolute(call, given, "", text=text, tokens=tokens)
    assert len(all_words) == 6 and torch.equal(all_words[3], one[0])
    with pytest.raises(ValueError, match="names <red>, <2>, but the tokens are: none connected"):
        absolute(call, given, "<red>", text=text)


def test_tokens_named_as_embedding_files_are_words_too(call, sampled, here, sockets):
    vectors = backbone_of(clip=sockets["clip"]).word_vectors("cat")["clip_l"]
    save_tensors(here.model_target("embeddings", "pet"), {"emb_params": vectors}, {})
    text = "a photo of embedding:pet, on blue"
    given = sampled(positive=CLIPTextEncode.execute(text, sockets["clip"])[0])
    one = absolute(call, given, "embedding:pet", text=text)
    by_name = absolute(call, sampled(text="a photo of cat, on blue"), "cat", text="a photo of cat, on blue")
    torch.testing.assert_close(one, by_name, atol=1e-5, rtol=1e-3)
    assert len(absolute(call, given, "", text=text)) == 6


def test_a_later_run_replaces_the_maps(call, sampled, sockets, draw):
    listening, capture = call(CaptureAttention, model=sockets["model"], least_grid=1).args
    given = {"capture": capture, "clip": sockets["clip"]}
    first = absolute(call, given | {"samples": draw(listening, text=TEXT)}, "cat")
    again = absolute(call, given | {"samples": draw(listening, text=TEXT, seed=9)}, "cat")
    assert not torch.allclose(first, again)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": "a dog"}, "not the text that was sampled"),
        ({"words": "zebra"}, "'zebra' is not in the text; its words are: a, cat"),
        ({"image": torch.zeros(3, 64, 96, 3)}, "1 latents were sampled, but 3 pictures are connected"),
        ({"image": torch.full((1, 64, 96, 3), torch.nan)}, "NaN or infinite"),
    ],
)
def test_what_does_not_belong_together_is_refused(call, sampled, given, message, here):
    with pytest.raises(ValueError, match=message):
        call(ShowWordHeatmap, **({"text": TEXT, "words": "cat"} | sampled() | given))
    assert not here.temp.exists()


def test_an_empty_prompt_has_no_words(call, sampled):
    with pytest.raises(ValueError, match="the text has no words to show"):
        call(ShowWordHeatmap, **sampled(text=""), text="", words="")
    with pytest.raises(ValueError, match="none, it is empty"):
        call(ShowWordHeatmap, **sampled(text=""), text="", words="cat")


def test_a_capture_whose_sampler_did_not_run_says_so(call, sockets, sampled):
    _, fresh = call(CaptureAttention, model=sockets["model"]).args
    with pytest.raises(ValueError, match="no attention was recorded"):
        call(ShowWordHeatmap, **(sampled() | {"capture": fresh}), text=TEXT, words="cat")


def conditioning_of(sockets, *texts):
    return [CLIPTextEncode.execute(text, sockets["clip"])[0][0] for text in texts]


def said(result):
    return "".join(result.ui.get("text", ()))


def test_a_conditioning_of_joined_prompts_is_read_by_its_columns(call, sampled, sockets):
    """What ConditioningConcat gives: the second prompt's words are 77 columns further."""
    (one, extras), (other, _) = conditioning_of(sockets, "a cat on blue", "a rocket")
    joined = [[torch.cat([one, other], 1), extras]]
    given = sampled(positive=joined) | {"conditioning": joined, "text": "a cat on blue\na rocket"}
    maps = given["capture"].maps().combined_cross((64, 96))
    columns = {
        word: [start + at for run in find_word(backbone_of(clip=sockets["clip"]).tokenize(text), word) for at in run]
        for word, text, start in (("cat", "a cat on blue", 0), ("rocket", "a rocket", 77))
    }
    result = call(ShowWordHeatmap, **given, words="cat, rocket", normalise="absolute", per_cell=False)
    for heat, word in zip(result[1], ("cat", "rocket"), strict=True):
        torch.testing.assert_close(heat, maps[0, columns[word]].mean(0).clamp(0, 1), atol=1e-6, rtol=1e-4)
        assert f"{word} in column" in said(result) and ", ".join(str(at) for at in columns[word]) in said(result)
    assert len(call(ShowWordHeatmap, **given, words="")[1]) == 5


def test_a_conditioning_that_is_an_average_says_the_weights(call, sampled, sockets):
    (one, extras), (other, _) = conditioning_of(sockets, "a cat", "a rocket")
    mixed = [[0.75 * one + 0.25 * other, extras]]
    given = sampled(positive=mixed) | {"conditioning": mixed, "text": "a cat\na rocket"}
    result = call(ShowWordHeatmap, **given, words="cat, rocket")
    assert "(weight 0.75); rocket in" in said(result) and said(result).endswith("(weight 0.25).")


def test_the_conditioning_of_the_text_as_it_stands_says_nothing_more(call, sampled, sockets):
    (entry,) = conditioning_of(sockets, TEXT)
    given = sampled()
    result = call(ShowWordHeatmap, **given, text=TEXT, words="cat", conditioning=[entry])
    assert torch.equal(result[1], call(ShowWordHeatmap, **given, text=TEXT, words="cat")[1]) and not said(result)


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("", "cat", "a CONDITIONING holds no words: write the prompts"),
        ("a dog in the park", "dog", "'dog' is not found in the CONDITIONING; found of the text are: a"),
        ("the dog", "", "no word of the text is found in the CONDITIONING.*1 given"),
        ("a cat on blue", "rocket", "'rocket' is not found in the CONDITIONING; found of the text are: a, cat"),
    ],
)
def test_words_that_cannot_be_distinguished_from_a_conditioning_are_refused(
    call, sampled, sockets, text, words, message
):
    (one, extras), (other, _) = conditioning_of(sockets, "a cat on blue", "a rocket")
    joined = [[torch.cat([one, other], 1), extras]]
    with pytest.raises(ValueError, match=message):
        call(ShowWordHeatmap, **sampled(positive=joined), conditioning=joined, text=text, words=words)


def test_a_conditioning_that_was_not_sampled_is_refused(call, sampled, sockets):
    entry = conditioning_of(sockets, "a dog")
    with pytest.raises(ValueError, match="this is not the text that was sampled"):
        call(ShowWordHeatmap, **sampled(), conditioning=entry, text="a dog", words="dog")
    half = [[0.5 * entry[0][0], entry[0][1]]]
    with pytest.raises(ValueError, match="this is not the CONDITIONING that was sampled"):
        call(ShowWordHeatmap, **sampled(), conditioning=half, text="a dog", words="dog")


@pytest.mark.parametrize("link", [False, True])
def test_the_message_shows_the_text_that_was_given_and_the_one_that_was_sampled(sampled, link):
    text, given = ["9", 0] if link else "a cat", sampled(text="a cat")
    workflow = {
        "1": {"inputs": {"samples": ["2", 0], "text": "a dog"}},
        "2": {"inputs": {"positive": ["3", 0]}},
        "3": {"inputs": {"text": text}},
        "9": {"inputs": {"value": "a cat"}},
    }
    assert sampled_prompt(workflow, "1") == "a cat"
    run, _ = given["capture"].run_of(given["samples"]["samples"])
    with pytest.raises(
        ValueError, match=r"\(given 'a dog', sampled 'a cat'\).*linked to both; ComfyUI's page replaces braces"
    ):
        pieces_of(run, read_text(given["clip"], "a dog", {}), "a dog", "a cat")


def test_the_text_of_another_models_clip_is_named(sampled):
    given = sampled(text="a cat")
    run, _ = given["capture"].run_of(given["samples"]["samples"])
    (ours,) = read_text(given["clip"], "a cat", {})
    wide = replace(ours, context=torch.zeros(1, 77, 768))
    with pytest.raises(ValueError, match="sampled with text 192 wide and this CLIP encodes 768"):
        pieces_of(run, [wide], "a cat")


def test_the_prompt_of_nodes_that_read_pictures_is_found_behind_others():
    workflow = {
        "1": {"inputs": {"samples": ["2", 0]}},
        "2": {"inputs": {"positive": ["3", 0]}},
        "3": {"inputs": {"conditioning": ["4", 0], "reference_latents_method": "index"}},
        "4": {"inputs": {"prompt": "make the cat red"}},
    }
    assert sampled_prompt(workflow, "1") == "make the cat red"
    workflow["4"] = {"inputs": {"conditioning": ["3", 0]}}
    assert sampled_prompt(workflow, "1") is None


@pytest.mark.parametrize("workflow", [None, {}, {"1": 2}, {"1": {"inputs": []}}, {"1": {"inputs": {"samples": "x"}}}])
def test_where_the_sampled_text_is_not_plain_nothing_is_said_of_it(workflow):
    assert sampled_prompt(workflow, "1") is None


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (" ", "", "text is empty; write the prompt"),
        ("a cat on blue", "cat, zebra", "words: 'zebra' is not in the text 'a cat on blue'"),
        ("a (cat:1.3) on \\(blue\\)", "Cat, (blue)", True),
        ("a teddy bear", "teddybear, TEDDY  bear", True),
        ("a <1> and embedding:pet", "<apple>, embedding:pet", True),
        ("a cat", "", True),
        (None, "zebra", True),
        ("a cat", None, True),
    ],
)
def test_words_that_a_text_does_not_spell_are_refused_before_a_run(text, words, said):
    verdict = ShowWordHeatmap.validate_inputs(text=text, words=words)
    assert verdict is True if said is True else said in verdict
    assert ShowWordHeatmap.validate_inputs() is True


def test_on_the_lab_transformer_the_familys_blocks_are_read_unless_others_are_asked_for(call, transformer, draw):
    def maps(blocks):
        listening, capture = call(CaptureAttention, model=transformer["model"], least_grid=1, blocks=blocks).args
        samples = draw(listening, text=TEXT)
        assert torch.equal(samples["samples"], draw(transformer["model"], text=TEXT)["samples"])
        given = {"capture": capture, "clip": transformer["clip"], "samples": samples}
        return capture.maps().cross_layers, absolute(call, given, "cat, blue")

    layers, masks = maps("")
    assert layers == {(8, 12): 3} and masks.shape == (2, 64, 96) and (masks > 0).any()
    assert maps("0-1")[0] == {(8, 12): 2}
    assert torch.equal(masks, maps("all")[1]) and not torch.equal(masks, maps("2")[1])
