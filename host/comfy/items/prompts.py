"""How the pack reads and encodes prompts, with learnt tokens in them."""

from ..internals import Internal
from . import needs
from .needs import nodes_that

_CLIP = "comfy.sd:CLIP"

ITEMS: tuple[Internal, ...] = (
    Internal(
        "comfy.sd1_clip:SDTokenizer._try_get_embedding",
        "the pack puts learnt tokens into prompts",
        nodes_that(needs.PROMPTS),
        called="self, written",
    ),
    Internal(
        "comfy.sd1_clip:SDTokenizer.tokenize_with_weights",
        "the pack reads learnt tokens and words",
        nodes_that(needs.PROMPTS),
        called="self, text, return_word_ids",
        uses=("_try_get_embedding", "tokenizer", "embedding_directory", "embedding_identifier"),
    ),
    Internal(
        "comfy.sd1_clip:SDTokenizer.__init__",
        "the pack copies a tokenizer and makes the lab's",
        (*nodes_that(needs.PROMPTS), *nodes_that(needs.LAB)),
        called="self, tokenizer_path=, embedding_directory=, embedding_size=, tokenizer_data=",
        uses=("tokenizer", "embedding_directory", "start_token", "end_token", "pad_token", "embedding:"),
    ),
    Internal(
        "comfy.sd1_clip:SD1Tokenizer.__init__",
        "the pack finds the tokenizer of each text encoder by its name",
        (*nodes_that(needs.PROMPTS), *nodes_that(needs.LAB)),
        called="self, embedding_directory, tokenizer_data, tokenizer=",
        uses=("clip_{}",),
    ),
    Internal(
        "comfy.text_encoders.qwen_image:QwenImageTokenizer.__init__",
        "the pack finds words behind the pictures of Qwen-Image-Edit",
        ("ShowWordHeatmap",),
        uses=("llama_template_images",),
    ),
    Internal(
        "comfy.text_encoders.anima:AnimaTEModel.encode_token_weights",
        "the pack says which token numbers Anima reads beside learnt tokens",
        nodes_that(needs.PROMPTS),
        uses=("t5xxl_ids", "t5xxl_weights", "t5xxl"),
    ),
    Internal(
        "comfy.model_base:Anima.extra_conds",
        "the pack gives Anima's adapter one row of the text at a time",
        nodes_that(needs.PROMPTS),
        uses=("t5xxl_ids", "unsqueeze"),
    ),
    Internal(
        "comfy.sd1_clip:load_embed",
        "token files hold a tensor for each text encoder that ComfyUI asks for",
        ("SaveConceptTokens",),
        uses=("embed_key",),
    ),
    Internal(f"{_CLIP}.tokenize", "the pack reads prompts", nodes_that(needs.PROMPTS), called="self, text"),
    Internal(
        f"{_CLIP}.encode_from_tokens",
        "the pack encodes prompts",
        nodes_that(needs.PROMPTS),
        called="self, tokens, return_pooled=",
    ),
    Internal(
        f"{_CLIP}.encode_from_tokens",
        "the pack encodes prompts of transformers",
        nodes_that(needs.PROMPTS),
        called="self, tokens, return_dict=",
    ),
    Internal(
        f"{_CLIP}.encode_from_tokens_scheduled",
        "the pack encodes prompts with learnt tokens as CONDITIONING",
        nodes_that(needs.MAKE_CONDITIONING),
        called="self, tokens",
    ),
    Internal(
        f"{_CLIP}.__init__",
        "the pack copies a CLIP and makes the lab's",
        (*nodes_that(needs.CLIP), *nodes_that(needs.LAB)),
        called="self, target, embedding_directory=, model_options=",
        uses=("cond_stage_model", "tokenizer", "patcher"),
    ),
    Internal(
        "comfy.sd1_clip:SDClipModel.process_tokens",
        "the pack adds vectors to the rows of the token table",
        nodes_that(needs.CLIP),
        uses=("get_input_embeddings", "out_dtype"),
    ),
    Internal(
        "comfy.clip_model:CLIPTextModel_.forward",
        "the pack encodes the beginnings of texts",
        nodes_that(needs.ENCODE_BEGINNINGS),
        uses=("embeddings", "position_embedding", "shape"),
    ),
    Internal(
        "comfy.clip_model:CLIPTextModel",
        "the pack knows which text encoders are causal",
        nodes_that(needs.ENCODE_BEGINNINGS),
    ),
)
