"""Everything inside ComfyUI that the pack depends on; ``docs/comfyui-internals.md`` is written from it."""

from .internals import Internal

VERSIONS_RUN = ("0.19.3", "0.29.0", "0.33.0")
"""Versions of ComfyUI on which all of the pack's tests were run."""

_LOCALIZE = ("LocalizeConcepts", "LocalizeWords", "ConceptsFromMasks", "MatchConcepts")
_LEARN = ("LearnConceptTokens",)
_PASSES = (*_LOCALIZE, *_LEARN, "ScoreConcepts")
_PROMPTS = (*_PASSES, "EncodeConceptPrompt", "ShowWordHeatmap", "EraseConcepts")
_TEXT_MODELS = (*_PROMPTS, "LoadConceptTokens")
_MODELS = (*_PASSES, "CaptureAttention", "EraseConcepts")
_HEARD = (*_LOCALIZE, *_LEARN, "CaptureAttention")
_CAPTURE = ("CaptureAttention",)
_WEIGHTS = ("EraseConcepts", *_LEARN)
_LAB = ("LoadLabModel",)
_BARS = (*_PASSES, "EraseConcepts", "LoadConceptPrototypes")

_PATCHER = "comfy.model_patcher:ModelPatcher"
_CLIP = "comfy.sd:CLIP"
_VAE = "comfy.sd:VAE"
_MEMORY = "comfy.model_management"
_BLOCKS = "comfy.ldm.modules.attention"
_UNET = "comfy.ldm.modules.diffusionmodules.openaimodel"

_FAMILIES = tuple(
    Internal(path, "the family of a MODEL or CLIP is told", nodes)
    for path, nodes in (
        ("comfy.supported_models:SD15", _MODELS),
        ("comfy.supported_models:SD20", _MODELS),
        ("comfy.latent_formats:SD15", _MODELS),
        ("comfy.latent_formats:SDXL", _MODELS),
        ("comfy.model_base:BaseModel", _MODELS),
        ("comfy.model_base:SDXL", _MODELS),
        ("comfy.model_sampling:EPS", _MODELS),
        ("comfy.model_sampling:IMG_TO_IMG", _MODELS),
        ("comfy.sd1_clip:SD1ClipModel", _TEXT_MODELS),
        ("comfy.sdxl_clip:SDXLClipModel", _TEXT_MODELS),
    )
)

_READING = (
    Internal(
        "comfy.sd1_clip:SDTokenizer._try_get_embedding",
        "learnt tokens stand in prompts",
        _PROMPTS,
        called="self, written",
    ),
    Internal(
        "comfy.sd1_clip:SDTokenizer.tokenize_with_weights",
        "learnt tokens and words are read",
        _PROMPTS,
        called="self, text, return_word_ids",
        uses=("_try_get_embedding", "tokenizer", "embedding_directory", "embedding_identifier"),
    ),
    Internal(
        "comfy.sd1_clip:SDTokenizer.__init__",
        "a tokenizer is copied and the lab's is made",
        (*_PROMPTS, *_LAB),
        called="self, tokenizer_path=, embedding_directory=, embedding_size=, tokenizer_data=",
        uses=("tokenizer", "embedding_directory", "end_token", "embedding:"),
    ),
    Internal(
        "comfy.sd1_clip:SD1Tokenizer.__init__",
        "the tokenizer of each text encoder is found by its name",
        (*_PROMPTS, *_LAB),
        called="self, embedding_directory, tokenizer_data, tokenizer=",
        uses=("clip_{}",),
    ),
    Internal(f"{_CLIP}.tokenize", "prompts are read", _PROMPTS, called="self, text"),
    Internal(f"{_CLIP}.encode_from_tokens", "prompts are encoded", _PROMPTS, called="self, tokens, return_pooled="),
    Internal(
        f"{_CLIP}.encode_from_tokens_scheduled",
        "prompts with learnt tokens become a CONDITIONING",
        ("EncodeConceptPrompt",),
        called="self, tokens",
    ),
    Internal(
        f"{_CLIP}.__init__",
        "a CLIP is copied and the lab's is made",
        (*_TEXT_MODELS, *_LAB),
        called="self, target, embedding_directory=, model_options=",
        uses=("cond_stage_model", "tokenizer", "patcher"),
    ),
    Internal(
        "comfy.sd1_clip:SDClipModel.process_tokens",
        "vectors stand among the rows of the token table",
        _TEXT_MODELS,
        uses=("get_input_embeddings", "out_dtype"),
    ),
)

_PASS = (
    Internal(
        "comfy.model_base:BaseModel.apply_model",
        "the model is asked for a clean picture",
        _PASSES,
        called="self, x, sigma, c_crossattn=, transformer_options=",
    ),
    Internal("comfy.model_base:BaseModel.process_latent_in", "latents are scaled", _PASSES, called="self, latent"),
    Internal("comfy.model_base:BaseModel.process_latent_out", "latents are scaled", _PASSES, called="self, latent"),
    Internal(
        "comfy.model_base:SDXL.encode_adm",
        "Stable Diffusion XL is told the pooled text and sizes",
        _PASSES,
        called="self, pooled_output=, height=, width=, device=, noise=, prompt_type=",
    ),
    Internal(
        "comfy.model_sampling:ModelSamplingDiscrete.timestep",
        "noise levels and timesteps are told from one another",
        _MODELS,
        called="self, sigma",
    ),
    Internal(
        "comfy.model_sampling:ModelSamplingDiscrete.set_sigmas",
        "the table of noise levels is read",
        _MODELS,
        uses=("sigmas",),
    ),
    Internal(f"{_VAE}.encode", "pictures become latents", _PASSES, called="self, pixels"),
    Internal(f"{_VAE}.decode", "latents become pictures", ("ScoreConcepts", *_LEARN), called="self, samples"),
    Internal(f"{_VAE}.spacial_compression_encode", "the size of a latent's cell is known", _PASSES, called="self"),
    Internal(
        f"{_PATCHER}.__init__",
        "a MODEL is told what to do in one run only",
        (*_MODELS, *_LAB),
        called="self, model, load_device=, offload_device=",
        uses=("model", "model_options", "transformer_options", "load_device", "wrappers"),
    ),
    Internal(f"{_PATCHER}.clone", "a MODEL is changed without touching the one given", _MODELS, called="self"),
    Internal(f"{_PATCHER}.get_model_object", "parts of a MODEL are looked at", _MODELS, called="self, name"),
    Internal(f"{_PATCHER}.memory_required", "memory is asked for before a pass", _PASSES, called="self, shape"),
    Internal(
        f"{_MEMORY}:load_models_gpu",
        "models are brought into memory",
        _PASSES,
        called="models, memory_required=",
    ),
    Internal(f"{_MEMORY}:soft_empty_cache", "memory is given back after learning", _PASSES, called=""),
    Internal(f"{_MEMORY}:throw_exception_if_processing_interrupted", "the cancel button is heeded", _BARS, called=""),
    Internal("comfy.utils:ProgressBar.__init__", "progress is shown", _BARS, called="self, total, node_id="),
    Internal(
        "comfy.utils:ProgressBar.update_absolute", "progress is shown", _BARS, called="self, value, total, preview"
    ),
    Internal(
        "comfy.patcher_extension:merge_nested_dicts",
        "wrappers of other nodes run in the pack's own passes",
        _PASSES,
        called="one, other",
    ),
)

_ATTENTION = (
    Internal(
        f"{_BLOCKS}:wrap_attn",
        "queries and keys of a layer are heard",
        _HEARD,
        called="function",
        uses=("optimized_attention_override", "transformer_options"),
    ),
    Internal(
        f"{_BLOCKS}:BasicTransformerBlock.forward",
        "it is known which layer is heard",
        _HEARD,
        called="self, x, context=, transformer_options=",
        uses=("patches", "patches_replace", "attn1_patch", "attn2_patch", "attn1", "attn2", "block", "block_index"),
    ),
    Internal(
        f"{_BLOCKS}:SpatialTransformer.forward",
        "the grid of a layer is known",
        _HEARD,
        called="self, x, context=, transformer_options=",
        uses=("activations_shape", "block_index"),
    ),
    Internal(f"{_BLOCKS}:CrossAttention.__init__", "heads are told apart", _HEARD, uses=("heads", "to_q", "to_k")),
    Internal(
        f"{_UNET}:UNetModel.__init__",
        "the layers of a UNet are listed",
        _HEARD,
        uses=("input_blocks", "middle_block", "output_blocks"),
    ),
    Internal(f"{_UNET}:UNetModel._forward", "blocks say their number", _HEARD, uses=("block", "input", "output")),
    Internal(f"{_UNET}:Downsample", "the size of a layer's grid is known", _HEARD),
    Internal(f"{_UNET}:Upsample", "the size of a layer's grid is known", _HEARD),
)

_SAMPLING = (
    *(
        Internal(f"comfy.patcher_extension:WrappersMP.{name}", "a sampling run is heard", _CAPTURE)
        for name in ("OUTER_SAMPLE", "PREDICT_NOISE", "APPLY_MODEL")
    ),
    Internal(
        "comfy.patcher_extension:WrapperExecutor.__init__",
        "the guider of a run is found",
        _CAPTURE,
        uses=("class_obj",),
    ),
    Internal(
        "comfy.patcher_extension:add_wrapper_with_key",
        "a sampling run is heard",
        _CAPTURE,
        called="kind, key, wrapper, options, is_model_options=",
    ),
    Internal("comfy.patcher_extension:copy_nested_dicts", "a run gets options of its own", _CAPTURE, called="options"),
    Internal(
        f"{_PATCHER}.add_wrapper_with_key", "a sampling run is heard", _CAPTURE, called="self, kind, key, wrapper"
    ),
    Internal(
        "comfy.samplers:CFGGuider.__init__",
        "the options of a run are its own",
        _CAPTURE,
        called="self, patcher",
        uses=("model_options",),
    ),
    Internal(
        "comfy.samplers:CFGGuider.sample",
        "a sampling run is heard from its start to its end",
        _CAPTURE,
        uses=("OUTER_SAMPLE", "outer_sample", "conds"),
    ),
    Internal(
        "comfy.samplers:CFGGuider.outer_predict_noise", "each step of a run is heard", _CAPTURE, uses=("PREDICT_NOISE",)
    ),
    Internal(
        "comfy.samplers:_calc_cond_batch",
        "rows of a call are told apart",
        _CAPTURE,
        uses=("cond_or_uncond", "uuids", "sigmas"),
    ),
    Internal(
        "comfy.model_base:BaseModel.apply_model", "each call of the model is heard", _CAPTURE, uses=("APPLY_MODEL",)
    ),
)

_GRADIENTS = (
    Internal(
        f"{_PATCHER}.add_weight_wrapper",
        "gradients pass weights that were made under inference mode",
        _LEARN,
        called="self, key, wrapper",
    ),
    Internal(f"{_PATCHER}.set_model_compute_dtype", "float16 models learn in bfloat16", _LEARN, called="self, dtype"),
    Internal(f"{_CLIP}.clone", "gradients pass the text encoder", _LEARN, called="self"),
    Internal(f"{_BLOCKS}:attention_pytorch", "attention has gradients", _LEARN, called="query, key, value, heads"),
    Internal("comfy.ops:CastWeightBiasOp.weight_function", "layers ask for their weights", _LEARN),
    Internal("comfy.ops:CastWeightBiasOp.bias_function", "layers ask for their biases", _LEARN),
    Internal(f"{_MEMORY}:should_use_bf16", "it is known whether bfloat16 will do", _LEARN, called="device"),
    Internal("comfy.model_base:BaseModel.get_dtype", "the precision of a model is known", _LEARN, called="self"),
)

_CHANGES = (
    Internal(
        "comfy.utils:unet_to_diffusers",
        "weights are named as LoRA files name them",
        _WEIGHTS,
        called="config",
    ),
    Internal(f"{_PATCHER}.get_key_patches", "weights in force are read", _WEIGHTS, called="self, prefix"),
    Internal(f"{_PATCHER}.add_patches", "a change is put into a MODEL", _WEIGHTS, called="self, patches, strength"),
    Internal("comfy.lora:load_lora", "a change is put into a MODEL", _WEIGHTS, called="tensors, names"),
    Internal("comfy.lora:calculate_weight", "weights in force are read", _WEIGHTS, called="patches, weight, key"),
    Internal(f"{_MEMORY}:cast_to_device", "weights in force are read", _WEIGHTS, called="tensor, device, dtype, copy="),
)

_LAB_MODEL = tuple(
    Internal(path, "the lab model is made", _LAB, called, uses)
    for path, called, uses in (
        ("comfy.supported_models_base:BASE.__init__", "self, config", ("unet_config",)),
        ("comfy.supported_models_base:BASE.set_inference_dtype", "self, dtype, manual", ()),
        ("comfy.supported_models_base:BASE.get_model", "self, state, device=", ()),
        ("comfy.supported_models_base:ClipTarget", "tokenizer, text_model", ()),
        (
            "comfy.sd1_clip:SDClipModel.__init__",
            "self, device=, dtype=, textmodel_json_config=, special_tokens=, return_projected_pooled=, model_options=",
            ("transformer",),
        ),
        ("comfy.sd1_clip:SD1ClipModel.__init__", "self, device=, dtype=, model_options=, clip_model=", ("clip_{}",)),
        ("comfy.clip_model:CLIPTextModel.set_input_embeddings", "self, table", ()),
        ("comfy.ops:manual_cast.Embedding", "rows, width, dtype=, device=", ()),
        (f"{_VAE}.__init__", "self, sd=, dtype=", ("first_stage_model", "patcher", "device")),
        ("comfy.taesd.taesd:TAESD", "latent_channels=", ()),
        (f"{_MEMORY}:get_torch_device", "", ()),
        (f"{_MEMORY}:unet_offload_device", "", ()),
        (f"{_MEMORY}:vae_offload_device", "", ()),
    )
)

ITEMS: tuple[Internal, ...] = (
    *_FAMILIES,
    *_READING,
    *_PASS,
    *_ATTENTION,
    *_SAMPLING,
    *_GRADIENTS,
    *_CHANGES,
    *_LAB_MODEL,
)
"""In the order of the document."""
