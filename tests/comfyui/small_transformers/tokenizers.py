"""CLIPs with a family's own tokenizers and text model, in which each encoder is a table of random rows."""

from typing import Any

import torch

from .sizes import DEV, KLEIN_9B

TEXT = {
    "flux": ("flux", "FluxTokenizer", "FluxClipModel", {"clip_l": 4, "t5xxl": 8}, 1),
    "flux2": ("flux", "KleinTokenizer", "Flux2TEModel", {"qwen3_4b": 2}, 3),
    "chroma": ("pixart_t5", "PixArtTokenizer", "PixArtT5XXL", {"t5xxl": 8}, 1),
    "z_image": ("z_image", "ZImageTokenizer", "ZImageTEModel", {"qwen3_4b": 6}, 1),
    "krea2": ("krea2", "Krea2Tokenizer", "Krea2TEModel", {"qwen3vl_4b": 8}, 2),
    "qwen_image": ("qwen_image", "QwenImageTokenizer", "QwenImageTEModel", {"qwen25_7b": 8}, 1),
    "anima": ("anima", "AnimaTokenizer", "AnimaTEModel", {"qwen3_06b": 16}, 1),
    "sd3": ("sd3_clip", "SD3Tokenizer", "SD3ClipModel", {"clip_l": 2, "clip_g": 2, "t5xxl": 4096}, 1),
    "lumina2": ("lumina2", "LuminaTokenizer", "LuminaModel", {"gemma2_2b": 6}, 1),
    KLEIN_9B: ("flux", "KleinTokenizer8B", "Flux2TEModel", {"qwen3_8b": 2}, 3),
    DEV: ("flux", "Flux2Tokenizer", "Flux2TEModel", {"mistral3_24b": 2}, 3),
}
"""Family to module below ``comfy.text_encoders``, tokenizer, text model, its encoders' widths, layers that it reads."""

WORDS = "a red cat and two dogs on the green grass sit big thing square rocket photo of"
"""Of which the small vocabularies are made that checkpoints bring with them (Lumina 2, FLUX.2 dev)."""


def mistral_here() -> bool:
    """Whether this ComfyUI reads FLUX.2 dev's vocabulary by itself, whatever version transformers has."""
    import importlib.util

    return importlib.util.find_spec("comfy.text_encoders.bpe_tokenizer") is not None


def clip(family: str) -> Any:
    """A CLIP with the family's own tokenizers and text model, in which each encoder is a table of random rows."""
    import importlib

    import comfy.sd
    import comfy.supported_models_base as base

    module, reader, model, widths, layers = TEXT[family]
    source = importlib.import_module(f"comfy.text_encoders.{module}")
    stock = getattr(source, model)

    class Model(stock):
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
            torch.nn.Module.__init__(self)
            for name, width in widths.items():
                setattr(self, name, _Rows(width, layers, "attention" if layers > 1 else family))
            self.clip = self.clip_name = next(iter(widths))
            self.dtypes, self.t5_attention_mask = {torch.float32}, False

    target = base.ClipTarget(getattr(source, reader), Model)
    options = {"dtype": torch.float32}
    return comfy.sd.CLIP(target, tokenizer_data=small_vocabulary(family), model_options=options)


def small_vocabulary(family: str) -> dict[str, Any]:
    """What a tokenizer is given whose vocabulary lies in the checkpoint; nothing for others."""
    made: dict[str, Any] = {"lumina2": _sentencepiece, DEV: _tekken}.get(family, dict)()
    return made


def _sentencepiece() -> dict[str, Any]:
    """A vocabulary of Gemma's kind: pieces of a few words, and bytes."""
    import io

    import sentencepiece

    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([WORDS, *WORDS.split()] * 8),
        model_writer=made,
        vocab_size=360,
        hard_vocab_limit=False,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    return {"spiece_model": made.getvalue()}


def _tekken() -> dict[str, Any]:
    """A vocabulary of Mistral's kind: every byte, and pieces that grow into a few words."""
    import base64
    import json

    named = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
    named += [f"<unused{number}>" for number in range(len(named), 11)] + ["<pad>"]
    pieces = [bytes([number]) for number in range(256)]
    for word in WORDS.split():
        for end in range(2, len(word) + 2):
            pieces.append(f" {word}"[:end].encode())
    words = [base64.b64encode(piece).decode() for piece in dict.fromkeys(pieces)]
    content = {
        "config": {"default_vocab_size": len(named) + len(words), "default_num_special_tokens": len(named)},
        "vocab": [{"rank": rank, "token_bytes": word} for rank, word in enumerate(words)],
        "special_tokens": [{"rank": rank, "token_str": name} for rank, name in enumerate(named)],
    }
    return {"tekken_model": json.dumps(content).encode()}


class _Rows(torch.nn.Module):
    """An encoder that gives each token a random row, a little of the row before mixed in."""

    def __init__(self, width: int, layers: int, family: str) -> None:
        import comfy.ops

        super().__init__()
        table = torch.randn(997, layers, width, generator=torch.Generator().manual_seed(width))
        self.table = torch.nn.Parameter(table, requires_grad=False)
        self.layers, self.family = layers, family
        held = comfy.ops.disable_weight_init.Embedding(1, width)  # each token of any vocabulary has one of the rows
        held.weight = torch.nn.Parameter(table[torch.arange(2**18) % 997, 0], requires_grad=False)
        self.transformer = _Table(held)

    def encode_token_weights(self, pairs: Any) -> Any:
        ids = torch.tensor([entry[0] for chunk in pairs for entry in chunk])
        rows = self.table[ids % 997].movedim(0, 1)  # (layers, L, width)
        rows = rows + 0.1 * rows.roll(1, 1)
        out = rows[None] if self.layers > 1 else rows
        extra = {"attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
        pooled = rows[:1].mean(1)
        return (out, pooled, extra) if self.family not in ("flux", "chroma", "sd3") else (out, pooled)

    def set_clip_options(self, options: Any) -> None:
        pass

    def reset_clip_options(self) -> None:
        pass


class _Table(torch.nn.Module):
    """What an encoder's token table is asked for."""

    def __init__(self, held: torch.nn.Embedding) -> None:
        super().__init__()
        self.held = held

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.held
