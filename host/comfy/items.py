"""Everything inside ComfyUI that the pack depends on; ``docs/comfyui-internals.md`` is written from it."""

from .internals import Internal

VERSIONS_RUN = ("0.19.3", "0.29.0", "0.33.0")
"""Versions of ComfyUI on which all of the pack's tests were run."""

_JUDGE = ("ScoreByConcepts", "ClassifyByConceptMatrix", "TrainConceptHead", "CompleteCaptions", "LintConcepts")
_RECOGNISE = ("FindMySubject", "ScoreByConceptHead", *_JUDGE)
_READ_WORDS = (*_JUDGE, "PickDiversePrompts")
_STRUCTURE = ("ChunkPrompt", "SentenceConcepts")
_LOCALIZE = ("LocalizeConcepts", "LocalizeWords", "ConceptsFromMasks", "MatchConcepts")
_LEARN = ("LearnConceptTokens", "AttackErasure")
_MOVING = (*_LEARN, "ComposeConcepts")
_READ = ("ShowConceptHeatmap", "CompareWords", "EditByWords", "AuditFocus", "AttentionLocality")
_RECORD = ("RecordActivations", "ReadRecording", "IngredientImportance")
_ON_PICTURES = ("InvertPicture", "GuardAgainstConcepts", "SteerIngredients", "PurifyPicture")
_ERASURE = ("TrainErasure", "ErasureReport")
_SKILLS = ("LocalizeSkill", "StitchSkills", "SubtractSkill", "GraftSkill", "CalibrateSkill", "ApplyHeadOffsets")
_SLIM = ("SlimLora",)
_TRACES = ("FindConceptVectors", "EditConceptVectors", "AuditErasureInside")
_PASSES = (
    *_LOCALIZE,
    *_LEARN,
    *_READ,
    *_RECORD,
    *_ON_PICTURES,
    *_ERASURE,
    "ShowWordInformation",
    "ScoreConcepts",
    "GraftSkill",
    "CalibrateSkill",
    "ScoutHeads",
)
_ENCODE = ("EncodeConceptPrompt", "CorrectBySimilarities", "ComposeConcepts", "ShowWordHeatmap")
_PROMPTS = (
    *_PASSES,
    *_ENCODE,
    "EraseConcepts",
    "SuggestRelatedWords",
    "ShowIngredients",
    "CaptionNoise",
    *_READ_WORDS,
    *_STRUCTURE,
    *_TRACES,
)
_TEXT_MODELS = (*_PROMPTS, "LoadConceptTokens")
_GUARDS = ("GuardAgainstConcepts", "SteerIngredients", "RecordWhileSampling")
_CAPTURE = ("CaptureAttention", "ComposeConcepts", "AttentionLocality", *_GUARDS)
_MODELS = tuple(dict.fromkeys((*_PASSES, *_CAPTURE, "EraseConcepts", "LoadErasure", *_SKILLS, *_SLIM, *_TRACES)))
_CAPTURING = tuple(dict.fromkeys((*_LOCALIZE, *_LEARN, *_READ, *_RECORD, *_CAPTURE, "PurifyPicture")))
_WEIGHTS = ("EraseConcepts", "LoadErasure", "TrainErasure", *_LEARN, *_SKILLS, *_SLIM, *_TRACES)
_LAB = ("LoadLabModel",)
_SHOWN = ("FindIngredients", "ShowIngredients", "CaptionNoise", *_RECOGNISE)
_BARS = (*_PASSES, "LocalizeSkill", *_SLIM, "EraseConcepts", "LoadConceptPrototypes", "LoadPictureFolder", *_SHOWN)

_PATCHER = "comfy.model_patcher:ModelPatcher"
_CLIP = "comfy.sd:CLIP"
_VAE = "comfy.sd:VAE"
_MEMORY = "comfy.model_management"
_BLOCKS = "comfy.ldm.modules.attention"
_UNET = "comfy.ldm.modules.diffusionmodules.openaimodel"

_FAMILIES = tuple(
    Internal(path, "the pack recognises the family of a MODEL or CLIP", nodes)
    for path, nodes in (
        ("comfy.supported_models:SD15", _MODELS),
        ("comfy.supported_models:SD20", _MODELS),
        ("comfy.latent_formats:SD15", _MODELS),
        ("comfy.latent_formats:SDXL", _MODELS),
        ("comfy.model_base:BaseModel", _MODELS),
        ("comfy.model_base:SDXL", _MODELS),
        ("comfy.model_sampling:EPS", _MODELS),
        ("comfy.model_sampling:IMG_TO_IMG", _MODELS),
        ("comfy.model_sampling:CONST", _MODELS),
        ("comfy.sd1_clip:SD1ClipModel", _TEXT_MODELS),
        ("comfy.sdxl_clip:SDXLClipModel", _TEXT_MODELS),
    )
)

_READING = (
    Internal(
        "comfy.sd1_clip:SDTokenizer._try_get_embedding",
        "the pack puts learnt tokens into prompts",
        _PROMPTS,
        called="self, written",
    ),
    Internal(
        "comfy.sd1_clip:SDTokenizer.tokenize_with_weights",
        "the pack reads learnt tokens and words",
        _PROMPTS,
        called="self, text, return_word_ids",
        uses=("_try_get_embedding", "tokenizer", "embedding_directory", "embedding_identifier"),
    ),
    Internal(
        "comfy.sd1_clip:SDTokenizer.__init__",
        "the pack copies a tokenizer and makes the lab's",
        (*_PROMPTS, *_LAB),
        called="self, tokenizer_path=, embedding_directory=, embedding_size=, tokenizer_data=",
        uses=("tokenizer", "embedding_directory", "end_token", "embedding:"),
    ),
    Internal(
        "comfy.sd1_clip:SD1Tokenizer.__init__",
        "the pack finds the tokenizer of each text encoder by its name",
        (*_PROMPTS, *_LAB),
        called="self, embedding_directory, tokenizer_data, tokenizer=",
        uses=("clip_{}",),
    ),
    Internal(f"{_CLIP}.tokenize", "the pack reads prompts", _PROMPTS, called="self, text"),
    Internal(
        f"{_CLIP}.encode_from_tokens", "the pack encodes prompts", _PROMPTS, called="self, tokens, return_pooled="
    ),
    Internal(
        f"{_CLIP}.encode_from_tokens",
        "the pack encodes prompts of transformers",
        _PROMPTS,
        called="self, tokens, return_dict=",
    ),
    Internal(
        f"{_CLIP}.encode_from_tokens_scheduled",
        "the pack encodes prompts with learnt tokens as CONDITIONING",
        ("EncodeConceptPrompt", *_STRUCTURE),
        called="self, tokens",
    ),
    Internal(
        f"{_CLIP}.__init__",
        "the pack copies a CLIP and makes the lab's",
        (*_TEXT_MODELS, *_LAB),
        called="self, target, embedding_directory=, model_options=",
        uses=("cond_stage_model", "tokenizer", "patcher"),
    ),
    Internal(
        "comfy.sd1_clip:SDClipModel.process_tokens",
        "the pack adds vectors to the rows of the token table",
        _TEXT_MODELS,
        uses=("get_input_embeddings", "out_dtype"),
    ),
    Internal(
        "comfy.clip_model:CLIPTextModel_.forward",
        "the pack encodes the beginnings of texts",
        ("EraseConcepts",),
        uses=("embeddings", "position_embedding", "shape"),
    ),
    Internal(
        "comfy.clip_model:CLIPTextModel",
        "the pack knows which text encoders are causal",
        ("EraseConcepts",),
    ),
)

_PASS = (
    Internal("comfy.latent_formats:LatentFormat.latent_channels", "the pack knows the size of a latent", _PASSES),
    Internal(
        "comfy.model_base:BaseModel.apply_model",
        "the pack asks the model for a clean picture",
        _PASSES,
        called="self, x, sigma, c_crossattn=, transformer_options=",
    ),
    Internal("comfy.model_base:BaseModel.process_latent_in", "the pack scales latents", _PASSES, called="self, latent"),
    Internal(
        "comfy.model_base:BaseModel.process_latent_out", "the pack scales latents", _PASSES, called="self, latent"
    ),
    Internal(
        "comfy.model_base:SDXL.encode_adm",
        "the pack gives Stable Diffusion XL the pooled text and sizes",
        _PASSES,
        called="self, pooled_output=, height=, width=, device=, noise=, prompt_type=",
    ),
    Internal(
        "comfy.model_base:BaseModel.extra_conds",
        "the pack gives transformers what their conditioning holds",
        _PASSES,
        called="self, cross_attn=, noise=, device=, prompt_type=, pooled_output=",
    ),
    Internal(
        "comfy.conds:CONDRegular.process_cond",
        "the pack gives transformers what their conditioning holds",
        _PASSES,
        called="self, batch_size=",
    ),
    Internal(
        "comfy.model_sampling:ModelSamplingDiscrete.timestep",
        "the pack converts noise levels to timesteps and back",
        _MODELS,
        called="self, sigma",
    ),
    Internal(
        "comfy.model_sampling:ModelSamplingDiscrete.set_sigmas",
        "the pack reads the table of noise levels",
        _MODELS,
        uses=("sigmas",),
    ),
    Internal(f"{_VAE}.encode", "the pack encodes pictures", _PASSES, called="self, pixels"),
    Internal(
        f"{_VAE}.decode",
        "the pack decodes latents",
        ("ScoreConcepts", "InvertPicture", "PurifyPicture", "ErasureReport", "GraftSkill", *_LEARN),
        called="self, samples",
    ),
    Internal(
        f"{_VAE}.spacial_compression_encode", "the pack knows the size of a latent's cell", _PASSES, called="self"
    ),
    Internal(
        f"{_PATCHER}.__init__",
        "the pack changes a MODEL for one run only",
        (*_MODELS, *_LAB),
        called="self, model, load_device=, offload_device=",
        uses=("model", "model_options", "transformer_options", "load_device", "wrappers"),
    ),
    Internal(f"{_PATCHER}.clone", "the pack changes a copy of a MODEL and not the one given", _MODELS, called="self"),
    Internal(f"{_PATCHER}.get_model_object", "the pack reads parts of a MODEL", _MODELS, called="self, name"),
    Internal(f"{_PATCHER}.memory_required", "the pack asks for memory before a pass", _PASSES, called="self, shape"),
    Internal(
        f"{_MEMORY}:load_models_gpu",
        "the pack loads models into memory",
        _PASSES,
        called="models, memory_required=",
    ),
    Internal(f"{_MEMORY}:soft_empty_cache", "the pack gives memory back after learning", _PASSES, called=""),
    Internal(
        f"{_MEMORY}:throw_exception_if_processing_interrupted",
        "the pack stops when a run is cancelled",
        _BARS,
        called="",
    ),
    Internal("comfy.utils:ProgressBar.__init__", "the pack shows progress", _BARS, called="self, total, node_id="),
    Internal(
        "comfy.utils:ProgressBar.update_absolute",
        "the pack shows progress",
        _BARS,
        called="self, value, total, preview",
    ),
    Internal(
        "comfy.clip_model:CLIPEncoder.__init__",
        "the pack changes what the last block of a picture encoder reads",
        ("IngredientImportance",),
        uses=("layers",),
    ),
    Internal(
        "comfy.patcher_extension:merge_nested_dicts",
        "the pack runs the wrappers of other nodes in its own passes",
        _PASSES,
        called="one, other",
    ),
)

_ATTENTION = (
    Internal(
        f"{_BLOCKS}:wrap_attn",
        "the pack records queries and keys of a layer",
        _CAPTURING,
        called="function",
        uses=("optimized_attention_override", "transformer_options"),
    ),
    Internal(
        f"{_BLOCKS}:BasicTransformerBlock.forward",
        "the pack knows which layer it records",
        _CAPTURING,
        called="self, x, context=, transformer_options=",
        uses=("patches", "patches_replace", "attn1_patch", "attn2_patch", "attn1", "attn2", "block", "block_index"),
    ),
    Internal(
        f"{_BLOCKS}:BasicTransformerBlock.forward",
        "a LoRA's change of the projection behind an attention layer is kept to its region",
        ("ComposeConcepts",),
        called="self, x, context=, transformer_options=",
        uses=("attn1_output_patch", "attn2_output_patch"),
    ),
    Internal(
        f"{_BLOCKS}:SpatialTransformer.forward",
        "the pack knows the grid of a layer",
        _CAPTURING,
        called="self, x, context=, transformer_options=",
        uses=("activations_shape", "block_index"),
    ),
    Internal(
        f"{_BLOCKS}:CrossAttention.__init__",
        "the pack splits queries and keys into heads",
        _CAPTURING,
        uses=("heads", "to_q", "to_k"),
    ),
    Internal(
        f"{_UNET}:UNetModel.__init__",
        "the pack lists the layers of a UNet",
        _CAPTURING,
        uses=("input_blocks", "middle_block", "output_blocks"),
    ),
    Internal(
        f"{_UNET}:UNetModel._forward",
        "the pack knows the number of a block",
        _CAPTURING,
        uses=("block", "input", "output"),
    ),
    Internal(f"{_UNET}:Downsample", "the pack knows the size of a layer's grid", _CAPTURING),
    Internal(f"{_UNET}:Upsample", "the pack knows the size of a layer's grid", _CAPTURING),
)

_SAMPLING = (
    Internal(
        "comfy.samplers:cfg_function",
        "the pack corrects what a model predicts while a picture is sampled",
        _GUARDS,
        uses=("sampler_post_cfg_function", "denoised", "input", "sigma", "cond_scale"),
    ),
    Internal(
        "comfy.samplers:calculate_sigmas",
        "the pack knows the noise levels that samplers visit",
        ("InvertPicture", "PurifyPicture"),
        called="model_sampling, scheduler, steps",
    ),
    *(
        Internal(f"comfy.patcher_extension:WrappersMP.{name}", "the pack records a sampling run", _CAPTURE)
        for name in ("OUTER_SAMPLE", "PREDICT_NOISE", "APPLY_MODEL", "DIFFUSION_MODEL")
    ),
    Internal(
        "comfy.patcher_extension:WrapperExecutor.__init__",
        "the pack finds the guider of a run",
        _CAPTURE,
        uses=("class_obj",),
    ),
    Internal(
        "comfy.patcher_extension:add_wrapper_with_key",
        "the pack records a sampling run",
        _CAPTURE,
        called="kind, key, wrapper, options, is_model_options=",
    ),
    Internal(
        "comfy.patcher_extension:copy_nested_dicts",
        "the pack gives a run options of its own",
        _CAPTURE,
        called="options",
    ),
    Internal(
        f"{_PATCHER}.add_wrapper_with_key",
        "the pack records a sampling run",
        _CAPTURE,
        called="self, kind, key, wrapper",
    ),
    Internal(
        "comfy.samplers:CFGGuider.__init__",
        "the pack keeps the options of a run apart",
        _CAPTURE,
        called="self, patcher",
        uses=("model_options",),
    ),
    Internal(
        "comfy.samplers:CFGGuider.sample",
        "the pack records a sampling run from its start to its end",
        _CAPTURE,
        uses=("OUTER_SAMPLE", "outer_sample", "conds"),
    ),
    Internal(
        "comfy.samplers:CFGGuider.outer_predict_noise",
        "the pack records each step of a run",
        _CAPTURE,
        uses=("PREDICT_NOISE",),
    ),
    Internal(
        "comfy.samplers:_calc_cond_batch",
        "the pack knows which conditioning a row of a call belongs to",
        _CAPTURE,
        uses=("cond_or_uncond", "uuids", "sigmas"),
    ),
    Internal(
        "comfy.model_base:BaseModel.apply_model",
        "the pack records each call of the model",
        _CAPTURE,
        uses=("APPLY_MODEL",),
    ),
)

_GRADIENTS = (
    Internal(
        f"{_PATCHER}.add_weight_wrapper",
        "the pack takes gradients through weights that were made under inference mode",
        _MOVING,
        called="self, key, wrapper",
    ),
    Internal(
        f"{_PATCHER}.add_object_patch",
        "the pack takes gradients through weights that a layer uses as they are",
        _MOVING,
        called="self, name, value",
    ),
    Internal(
        f"{_PATCHER}.set_model_compute_dtype",
        "the pack runs float16 models in bfloat16 while learning",
        _MOVING,
        called="self, dtype",
    ),
    Internal(
        f"{_PATCHER}.add_object_patch",
        "the pack computes blocks again in the backward pass, to save memory",
        _MOVING,
        called="self, name, function",
    ),
    Internal(
        f"{_UNET}:ResBlock.forward",
        "the pack computes blocks again in the backward pass, to save memory",
        _MOVING,
        called="self, x, emb",
    ),
    Internal(f"{_MEMORY}:get_free_memory", "the pack knows whether a pass fits into memory", _MOVING, called="device"),
    Internal(f"{_CLIP}.clone", "the pack takes gradients through the text encoder", _MOVING, called="self"),
    Internal(
        f"{_BLOCKS}:attention_pytorch",
        "the pack takes gradients through attention",
        _MOVING,
        called="query, key, value, heads",
    ),
    Internal(
        "comfy.ops:CastWeightBiasOp.weight_function", "the pack changes the weights of a layer for one pass", _MOVING
    ),
    Internal(
        "comfy.ops:CastWeightBiasOp.bias_function", "the pack changes the biases of a layer for one pass", _MOVING
    ),
    Internal(f"{_MEMORY}:in_training", "the pack takes gradients through transformers", _PASSES),
    Internal(f"{_MEMORY}:should_use_bf16", "the pack knows whether bfloat16 is supported", _MOVING, called="device"),
    Internal("comfy.model_base:BaseModel.get_dtype", "the pack knows the precision of a model", _MOVING, called="self"),
)

_CHANGES = (
    Internal(
        "comfy.utils:unet_to_diffusers",
        "the pack translates weight names to those of LoRA files",
        _WEIGHTS,
        called="config",
    ),
    Internal(
        "comfy.utils:flux_to_diffusers",
        "the pack knows the attention weights of FLUX by diffusers' names",
        _WEIGHTS,
        called="config, output_prefix=",
    ),
    Internal(
        "comfy.utils:z_image_to_diffusers",
        "the pack knows the attention weights of Z-Image by diffusers' names",
        _WEIGHTS,
        called="config, output_prefix=",
    ),
    Internal(
        "comfy.model_patcher:get_key_weight", "the pack reads the weights in force", _WEIGHTS, called="model, key"
    ),
    Internal(f"{_PATCHER}.__init__", "the pack reads the weights in force", _WEIGHTS, uses=("backup", "hook_backup")),
    Internal("comfy.utils:get_attr", "the pack knows the size of a weight", _WEIGHTS, called="module, name"),
    Internal(
        f"{_PATCHER}.add_patches", "the pack adds a change to a MODEL", _WEIGHTS, called="self, patches, strength"
    ),
    Internal("comfy.lora:load_lora", "the pack adds a change to a MODEL", _WEIGHTS, called="tensors, names"),
    Internal(
        "comfy.lora:calculate_weight", "the pack reads the weights in force", _WEIGHTS, called="patches, weight, key"
    ),
    Internal(
        "comfy.weight_adapter:WeightAdapterBase",
        "the pack keeps a sparse change sparse until its weight is loaded",
        _SKILLS,
    ),
    Internal(
        "comfy.lora:calculate_weight",
        "the pack keeps a sparse change sparse until its weight is loaded",
        _SKILLS,
        uses=("WeightAdapterBase", "calculate_weight"),
    ),
    Internal(
        f"{_MEMORY}:cast_to_device",
        "the pack reads the weights in force",
        _WEIGHTS,
        called="tensor, device, dtype, copy=",
    ),
)

_LAB_MODEL = tuple(
    Internal(path, "the pack makes the lab model", _LAB, called, uses)
    for path, called, uses in (
        ("comfy.supported_models:Flux", None, ()),
        ("comfy.model_base:Flux.__init__", "self, config, model_type=, device=", ()),
        ("comfy.model_base:ModelType.FLOW", None, ()),
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
