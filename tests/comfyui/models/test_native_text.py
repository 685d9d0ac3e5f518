"""Prompts with learnt vectors in them, as ComfyUI's own tokenizer reads them."""

import random

import pytest
import torch

PROMPTS = [
    "a photo of a cat",
    "",
    "a (red:1.3) cat, ((sharp)) and \\(plain\\) brackets",
    "the [end] of 2 roads " + "and a very long walk " * 30,
]


@pytest.fixture
def vectors(pack, parts):
    """Two vectors for each text encoder."""
    generator = torch.Generator().manual_seed(4)
    widths = pack("host.adapters").backbone_of(clip=parts["clip"]).text_widths
    return {name: 0.05 * torch.randn(2, width, generator=generator) for name, width in widths.items()}


@pytest.fixture
def embedding(pack, vectors, family):
    """The vectors in the embeddings folder, as ``embedding:NAME``."""
    tokens = pack("core.types").ConceptTokens({"kept": vectors}, family)
    return pack("host.files.token_files").save(tokens, f"{family}/", pack("host.files.folders").current()).names[0]


def same(got, expected):
    """Two CONDITIONINGs, to the bit."""
    assert len(got) == len(expected) == 1
    assert got[0][0].equal(expected[0][0])
    assert got[0][1].keys() == expected[0][1].keys()
    assert got[0][1]["pooled_output"].equal(expected[0][1]["pooled_output"])


@pytest.mark.parametrize("text", PROMPTS)
def test_a_prompt_is_that_of_the_stock_node(pack, parts, stock, text):
    with torch.inference_mode():
        got = pack("host.adapters").encode_prompt(parts["clip"], text, {})
        same(got, stock("CLIPTextEncode", clip=parts["clip"], text=text)[0])
        backbone = pack("host.adapters").backbone_of(clip=parts["clip"])
        assert backbone.encode_text([text]).context.equal(got[0][0])


@pytest.mark.parametrize(
    "text", ["a photo of {}", "{}, and a cat", "a cat and ({}:1.2) on the moon", "{} {}", "many words " * 40 + "{}"]
)
def test_encode_concept_prompt_is_the_stock_node_with_the_embedding(
    pack, parts, stock, run, vectors, embedding, family, text
):
    tokens = pack("core.types").ConceptTokens({"kept": vectors}, family)
    got = run("EncodeConceptPrompt", clip=parts["clip"], tokens=tokens, text=text.format("<kept>", "<1>"))[0]
    written = text.format(f"embedding:{embedding}", f"embedding:{embedding}")
    same(got, stock("CLIPTextEncode", clip=parts["clip"], text=written)[0])


def test_embedding_files_stand_beside_tokens(pack, parts, stock, run, vectors, embedding, family):
    tokens = pack("core.types").ConceptTokens({"kept": vectors}, family)
    got = run("EncodeConceptPrompt", clip=parts["clip"], tokens=tokens, text=f"<kept> with embedding:{embedding}")[0]
    both = f"embedding:{embedding} with embedding:{embedding}"
    same(got, stock("CLIPTextEncode", clip=parts["clip"], text=both)[0])


def test_words_are_found_in_what_the_tokenizer_made(pack, parts, vectors, embedding):
    backbone = pack("host.adapters").backbone_of(clip=parts["clip"])
    text = f"a (<apple>:1.2), cat and embedding:{embedding}"
    read = backbone.tokenize(text, {"<apple>": vectors})
    found = [(token.text, token.placeholder) for token in read.tokens]
    name = f"embedding:{embedding}"
    assert [entry for entry in found if entry[1]] == [("<apple>", "<apple>"), ("", "<apple>"), (name, name), ("", name)]
    assert [token.position for token in read.tokens] == list(range(1, 1 + len(found)))
    assert (read.start, read.end, read.length) == (0, 1 + len(found), 77)


def test_positions_of_a_long_prompt_run_on(pack, parts):
    backbone = pack("host.adapters").backbone_of(clip=parts["clip"])
    text = " ".join(f"cat {i % 10}" for i in range(60)) + " rocket"
    read = backbone.tokenize(text)
    assert read.length == backbone.encode_text([text]).context.shape[1] == 154
    assert read.end == 76 and read.tokens[-1].position > 78
    positions = [token.position for token in read.tokens]
    assert positions == sorted(set(positions)) and not {0, 76, 77} & set(positions)


def test_a_missing_embedding_is_an_error(pack, parts):
    backbone = pack("host.adapters").backbone_of(clip=parts["clip"])
    with pytest.raises(FileNotFoundError, match="no embedding named 'nowhere'"):
        backbone.encode_text(["a embedding:nowhere, cat"])


def test_vectors_of_another_width_are_refused(pack, parts):
    backbone = pack("host.adapters").backbone_of(clip=parts["clip"])
    with pytest.raises(ValueError, match="learnt for another model"):
        backbone.encode_text(["<x>"], {"<x>": {name: torch.zeros(1, 5) for name in backbone.text_widths}})


@pytest.mark.parametrize(
    "texts",
    [["a cat", "", "a dog on <apple>"], ["a (red:1.3) cat", "a dog"], ["a cat " * 45, "cat a " * 45]],
    ids=["plain", "weighted", "long"],
)
def test_many_texts_at_once_are_as_one_at_a_time(pack, parts, vectors, texts):
    backbone = pack("host.adapters").backbone_of(clip=parts["clip"])
    placeholders = {"<apple>": vectors}
    with torch.inference_mode():
        many, single = (
            backbone.encode_text(texts, placeholders),
            [backbone.encode_text([text], placeholders) for text in texts],
        )
    torch.testing.assert_close(many.context, torch.cat([one.context for one in single]), atol=1e-5, rtol=1e-5)
    assert many.extras.keys() == single[0].extras.keys() == {"pooled_output"}
    pooled = torch.cat([one.extras["pooled_output"] for one in single])
    torch.testing.assert_close(many.extras["pooled_output"], pooled, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(pooled[0], pooled[1], atol=1e-3)


def test_no_hook_stays_on_the_encoder(pack, parts):
    encoders = [module for module in parts["clip"].cond_stage_model.modules() if module._forward_hooks]
    pack("host.adapters").backbone_of(clip=parts["clip"]).encode_text(["a cat", "a dog"])
    assert encoders == [module for module in parts["clip"].cond_stage_model.modules() if module._forward_hooks] == []


SIGNS = [
    "(",
    ")",
    "\\(",
    "\\)",
    ":1.2",
    ":.5)",
    ":",
    "cat",
    "a red dog",
    " ",
    ", ",
    "\n",
    "(",
    ")",
    " embedding:{} ",
    "embedding:{}",
]


def random_prompts(name, count):
    """Prompts of words, brackets, weights and embeddings in any order, most of them malformed."""
    chance = random.Random(11)
    return ["".join(chance.choices(SIGNS, k=chance.randint(1, 12))).format(*[name] * 12) for _ in range(count)]


def as_headless(pack, clip, text):
    """(id or vector, weight) of a text as the headless runner cuts it; None for what is refused."""
    encoder = pack("host.comfy.parts").encoder_names(clip)[0]
    stock = getattr(clip.tokenizer, encoder)
    try:
        parts = pack("host.shared.text.prompt_syntax").read_syntax(text)
    except ValueError:
        return None
    entries = []
    for part in parts:
        if hasattr(part, "name"):
            found = stock._try_get_embedding(part.name)[0]
            if found is None:
                return None
            entries += [(row, part.weight) for row in found]
        else:
            pieces = pack("host.shared.text.token_table").read_pieces(part.text, stock.tokenizer)
            entries += [(piece.id, part.weight) for piece in pieces]
    return entries


def as_stock(pack, clip, text):
    """The same as ComfyUI's tokenizer gives it."""
    encoder = pack("host.comfy.parts").encoder_names(clip)[0]
    stock = getattr(clip.tokenizer, encoder)
    entries = []
    for chunk in clip.tokenize(text)[encoder.removeprefix("clip_")]:
        own = chunk[1:]
        ends = [at for at, (entry, _) in enumerate(own) if isinstance(entry, int) and entry == stock.end_token]
        entries += own[: ends[0]]
    return entries


def test_the_headless_reading_is_the_stock_tokenizers(pack, parts, embedding):
    read = refused = 0
    for text in random_prompts(embedding, 400):
        got = as_headless(pack, parts["clip"], text)
        if got is None:
            refused += 1
            continue
        read += 1
        expected = as_stock(pack, parts["clip"], text)
        assert len(got) == len(expected), text
        for (one, weight), (other, theirs) in zip(got, expected, strict=True):
            assert weight == pytest.approx(theirs), text
            assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other, text
    assert read > 100 and refused > 20


@pytest.mark.parametrize("text", ["a,{}", '"{}"', "a {},{}", "[{}]", "a \\({}\\)", "x{}"])
def test_an_embedding_is_never_read_as_letters(pack, parts, embedding, text):
    backbone = pack("host.adapters").backbone_of(clip=parts["clip"])
    written = text.replace("{}", f"embedding:{embedding}")
    encode = pack("host.adapters").encode_prompt
    for read in (backbone.tokenize, lambda t: backbone.encode_text([t]), lambda t: encode(parts["clip"], t, {})):
        with pytest.raises(ValueError, match="where ComfyUI does not read it"):
            read(written)


def test_what_a_version_does_not_take_for_an_embedding_is_refused_too(pack, parts, embedding):
    text = f"a photo\tof\tembedding:{embedding}"
    backbone = pack("host.adapters").backbone_of(clip=parts["clip"])
    try:
        names = {token.placeholder for token in backbone.tokenize(text).tokens}
    except ValueError as error:
        assert "where ComfyUI does not read it" in str(error)
    else:
        assert f"embedding:{embedding}" in names


def test_a_words_rows_are_those_of_the_file(pack, parts, vectors, embedding):
    backbone = pack("host.adapters").backbone_of(clip=parts["clip"])
    got, word = backbone.word_vectors(f"cat embedding:{embedding}"), backbone.word_vectors("cat")
    for name, rows in got.items():
        assert torch.equal(rows, torch.cat([word[name], vectors[name]]))
    with pytest.raises(ValueError, match="has a weight"):
        backbone.word_vectors("(cat:1.2)")


def test_an_embedding_of_another_model_is_refused(pack, parts):
    from safetensors.torch import save_file

    backbone, folder = pack("host.adapters").backbone_of(clip=parts["clip"]), pack("host.files.folders").current()
    target = folder.model_target("embeddings", "wide")
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({"emb_params": torch.ones(1, 1024)}, target)
    for read in (backbone.tokenize, lambda text: pack("host.adapters").encode_prompt(parts["clip"], text, {})):
        with pytest.raises(ValueError, match="embedding:wide was learnt on another kind of model: .* are 1024 wide"):
            read("a embedding:wide, cat")


def test_nodes_read_embeddings_and_weights_as_the_words_they_stand_for(pack, parts_of, run):
    lab, folder = parts_of("lab"), pack("host.files.folders").current()
    backbone = pack("host.adapters").backbone_of(clip=lab["clip"])
    words = {"ecat": "cat", "erocket": "rocket"}
    tokens = pack("core.types").ConceptTokens({n: backbone.word_vectors(word) for n, word in words.items()}, "lab")
    pack("host.files.token_files").save(tokens, "nodes/", folder)

    def erased(concepts):
        edit = run("EraseConcepts", model=lab["model"], clip=lab["clip"], concepts=concepts, damping=0.01)[1]
        return [factor.dense() for factor in edit.factors.values()]

    for one, other in zip(
        erased("embedding:nodes/ecat,(embedding:nodes/erocket:1.2)"), erased("cat, (rocket:1.2)"), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3 * float(other.abs().max()))
    image = torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(0))
    found = [
        run("LocalizeWords", **lab, image=image, words=words, seed=1)[0]
        for words in ("embedding:nodes/ecat,embedding:nodes/erocket", "cat, rocket")
    ]
    assert found[0].names == ("ecat", "erocket") and found[0].masks.equal(found[1].masks)
    with pytest.raises(ValueError, match="'embedding:nodes/ecat\"' right behind"):
        run("EraseConcepts", model=lab["model"], clip=lab["clip"], concepts='"embedding:nodes/ecat"')
