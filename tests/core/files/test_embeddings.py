"""Learnt tokens as files."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from concept_atelier.core import files
from concept_atelier.core.types import ConceptTokens

WIDTHS = {"clip_l": 192}
SDXL = {"clip_l": 768, "clip_g": 1280}


def tokens_of(widths, names=("apple", "crab"), seed=0):
    generator = torch.Generator().manual_seed(seed)
    vectors = {
        name: {encoder: torch.randn(2, width, generator=generator) for encoder, width in widths.items()}
        for name in names
    }
    return ConceptTokens(vectors, "lab", torch.rand(5), {"template": "a photo of {}", "seed": "3"})


def save_all(folder, tokens):
    paths = [folder / f"{name}.safetensors" for name in tokens.names]
    for path, name in zip(paths, tokens.names, strict=True):
        files.save_embedding(path, tokens, name)
    return paths


@pytest.fixture
def tokens():
    return tokens_of(WIDTHS)


@pytest.mark.parametrize("widths", [WIDTHS, {"clip_h": 1024}, SDXL], ids=lambda widths: "+".join(widths))
def test_tokens_come_back_to_the_bit(tmp_path, widths):
    tokens = tokens_of(widths)
    paths = save_all(tmp_path / "new" / "folder", tokens)
    assert [path.name for path in paths] == ["apple.safetensors", "crab.safetensors"]
    loaded = files.load_embeddings(paths, widths)
    assert loaded.names == tokens.names and loaded.family == "lab"
    assert loaded.metadata == tokens.metadata
    for name in tokens.names:
        for encoder in widths:
            assert torch.equal(loaded.vectors[name][encoder], tokens.vectors[name][encoder])


def test_one_encoder_is_a_single_tensor_under_the_common_key(tmp_path, tokens):
    path = tmp_path / "apple.safetensors"
    files.save_embedding(path, tokens, "apple")
    assert set(load_file(path)) == {"emb_params"}
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["name"] == "apple" and metadata["family"] == "lab" and metadata["template"] == "a photo of {}"


def test_two_encoders_keep_their_names(tmp_path):
    files.save_embedding(tmp_path / "x.safetensors", tokens_of(SDXL), "apple")
    shapes = {key: tuple(rows.shape) for key, rows in load_file(tmp_path / "x.safetensors").items()}
    assert shapes == {"clip_l": (2, 768), "clip_g": (2, 1280)}


def test_numbers_of_a_vocabulary_stand_beside_the_vectors_and_are_none_of_them(tmp_path):
    tokens = tokens_of({"qwen3_06b": 8}, ("apple",))
    tensors, metadata = files.embedding_tensors(tokens, "apple", {"t5xxl": 2})
    assert sorted(tensors) == ["qwen3_06b", "t5xxl"] and metadata["encoders"] == "qwen3_06b"
    assert tensors["t5xxl"].tolist() == [[2], [2]] and not tensors["t5xxl"].is_floating_point()
    save_file(tensors, tmp_path / "apple.safetensors", metadata)
    read = files.load_embedding(tmp_path / "apple.safetensors", {"qwen3_06b": 8})
    assert list(read.vectors["apple"]) == ["qwen3_06b"]
    assert torch.equal(read.vectors["apple"]["qwen3_06b"], tokens.vectors["apple"]["qwen3_06b"])
    with pytest.raises(ValueError, match="is no token file for this model"):
        files.load_embedding(tmp_path / "apple.safetensors", {"t5xxl": 8, "clip_l": 8})


def test_foreign_files_are_read_and_named_after_the_file(tmp_path):
    path = tmp_path / "style.safetensors"
    save_file({"anything": torch.ones(192, dtype=torch.float16)}, path)
    loaded = files.load_embedding(path, WIDTHS, family="lab")
    assert loaded.names == ("style",) and loaded.family == "lab"
    assert torch.equal(loaded.vectors["style"]["clip_l"], torch.ones(1, 192))


def test_an_sdxl_file_serves_a_model_with_its_first_encoder(tmp_path):
    files.save_embedding(tmp_path / "x.safetensors", tokens_of(SDXL), "apple")
    assert files.load_embedding(tmp_path / "x.safetensors", {"clip_l": 768}).vectors["apple"].keys() == {"clip_l"}


def test_embeddings_inside_of_a_lora_file_are_read_joined(tmp_path):
    one, two = torch.ones(1, 192), torch.zeros(2, 192)
    both = {"bundle_emb.a.string_to_param.*": one, "bundle_emb.b.string_to_param.*": two}
    save_file({**both, "lora_unet_x.diff": torch.ones(3)}, tmp_path / "y.safetensors")
    (rows,) = files.load_embedding(tmp_path / "y.safetensors", WIDTHS).vectors["y"].values()
    assert torch.equal(rows, torch.cat([one, two]))
    sdxl = {"bundle_emb.a.clip_l": torch.ones(1, 768), "bundle_emb.a.clip_g": torch.ones(1, 1280)}
    save_file(sdxl, tmp_path / "z.safetensors")
    shapes = {"clip_l": 768, "clip_g": 1280}
    read = files.load_embedding(tmp_path / "z.safetensors", shapes).vectors["z"]
    assert {key: rows.shape[1] for key, rows in read.items()} == shapes


@pytest.mark.parametrize("name", ["old.pt", "old.bin", "OLD.CKPT"])
def test_pickled_files_are_refused_unread(tmp_path, name):
    (tmp_path / name).write_bytes(b"not even a pickle")
    with pytest.raises(ValueError, match="pickled file.*convert it to .safetensors"):
        files.load_embedding(tmp_path / name, WIDTHS)


def test_a_pickle_under_a_safe_name_is_refused(tmp_path):
    path = tmp_path / "trick.safetensors"
    torch.save({"emb_params": torch.ones(1, 192)}, path)
    with pytest.raises(ValueError, match="no safetensors file"):
        files.load_embedding(path, WIDTHS)


@pytest.mark.parametrize(
    "content, widths, message",
    [
        ({"a": torch.ones(1, 192), "b": torch.ones(1, 192)}, WIDTHS, "holds a, b, expected clip_l or a single emb_par"),
        ({"emb_params": torch.ones(1, 768)}, SDXL, "holds emb_params, expected clip_l and clip_g"),
        ({"emb_params": torch.ones(1, 768)}, WIDTHS, "768 wide, this model's clip_l reads 192"),
        ({"emb_params": torch.full((1, 192), float("nan"))}, WIDTHS, "not finite"),
        ({"emb_params": torch.full((1, 192), float("inf"))}, WIDTHS, "not finite"),
        ({"emb_params": torch.ones(1, 1, 192)}, WIDTHS, r"expected vectors \(n, d\)"),
        ({"emb_params": torch.ones(1, 192, dtype=torch.long)}, WIDTHS, r"expected vectors \(n, d\)"),
        ({"emb_params": torch.ones(0, 192)}, WIDTHS, r"expected vectors \(n, d\)"),
        ({}, WIDTHS, "holds no tensors"),
    ],
)
def test_files_with_the_wrong_content_are_refused(tmp_path, content, widths, message):
    path = tmp_path / "wrong.safetensors"
    save_file(content, path)
    with pytest.raises(ValueError, match=message):
        files.load_embedding(path, widths)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        files.load_embedding(tmp_path / "nowhere.safetensors", WIDTHS)


def test_a_second_token_of_one_name_is_called_as_its_file(tmp_path, tokens):
    for folder in ("a", "b", "c/b"):
        save_all(tmp_path / folder, tokens)
    paths = [tmp_path / f"{folder}/apple.safetensors" for folder in ("a", "b", "c/b")]
    renamed = tmp_path / "green one.safetensors"
    renamed.write_bytes(paths[0].read_bytes())
    loaded = files.load_embeddings([*paths, renamed], WIDTHS)
    assert loaded.names == ("apple", "b_apple", "apple_2", "green_one")
    assert all(torch.equal(one["clip_l"], tokens.vectors["apple"]["clip_l"]) for one in loaded.vectors.values())


def test_no_files_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        files.load_embeddings([], WIDTHS)


def test_vectors_that_are_not_finite_are_not_saved(tmp_path):
    tokens = ConceptTokens({"apple": {"clip_l": torch.full((1, 192), float("nan"))}}, "lab")
    with pytest.raises(ValueError, match="not finite"):
        files.save_embedding(tmp_path / "apple.safetensors", tokens, "apple")
    with pytest.raises(ValueError, match="no token 'pear'"):
        files.save_embedding(tmp_path / "pear.safetensors", tokens, "pear")
    assert not list(tmp_path.iterdir())


def test_diffusers_reads_a_token_file(tmp_path, tokens, lab_modules):
    from copy import deepcopy

    from diffusers.loaders import TextualInversionLoaderMixin

    class Loader(TextualInversionLoaderMixin):
        """The little of a pipeline that loading needs."""

        components: dict = {}

        def __init__(self, tokenizer, text_encoder):
            self.tokenizer, self.text_encoder, self.hf_device_map = tokenizer, text_encoder, None

    files.save_embedding(tmp_path / "apple.safetensors", tokens, "apple")
    loader = Loader(deepcopy(lab_modules.tokenizer), deepcopy(lab_modules.text_encoder))
    loader.load_textual_inversion(tmp_path / "apple.safetensors", token="<apple>")
    first = loader.tokenizer.convert_tokens_to_ids("<apple>")
    table = loader.text_encoder.get_input_embeddings().weight
    assert torch.equal(table[[first, first + 1]], tokens.vectors["apple"]["clip_l"])


@pytest.mark.parametrize("name", ["", "a b", "<x>", "\x1b[2J", "x" * 1000])
def test_a_token_whose_metadata_name_no_prompt_can_say_is_named_as_its_file(tmp_path, name):
    path = tmp_path / "pear.safetensors"
    files.save_tensors(path, {"emb_params": torch.ones(1, 4)}, {"name": name})
    assert files.load_embedding(path, {"clip_l": 4}).names == ("pear",)


@pytest.mark.parametrize("stem", ["my token", "<odd>"])
def test_a_foreign_files_name_becomes_one_that_a_prompt_can_say(tmp_path, stem):
    save_file({"anything": torch.ones(192)}, tmp_path / f"{stem}.safetensors")
    (name,) = files.load_embedding(tmp_path / f"{stem}.safetensors", WIDTHS, family="lab").names
    assert name in ("my_token", "_odd_")
