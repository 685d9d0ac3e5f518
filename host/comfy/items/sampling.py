"""How the pack follows and corrects what a sampler does."""

from ..internals import Internal
from . import needs
from .needs import nodes_that

_PATCHER = "comfy.model_patcher:ModelPatcher"

ITEMS: tuple[Internal, ...] = (
    Internal(
        "comfy.samplers:cfg_function",
        "the pack corrects what a model predicts while a picture is sampled",
        nodes_that(needs.CORRECT_SAMPLING),
        uses=("sampler_post_cfg_function", "denoised", "input", "sigma", "cond_scale"),
    ),
    Internal(
        "comfy.samplers:KSAMPLER.__init__",
        "the pack refuses samplers that do not see a latent move",
        nodes_that(needs.CORRECT_SAMPLING),
        uses=("sampler_function",),
    ),
    *(
        Internal(
            f"comfy.extra_samplers.uni_pc:{name}",
            "the pack refuses samplers that do not see a latent move",
            nodes_that(needs.CORRECT_SAMPLING),
        )
        for name in ("sample_unipc", "sample_unipc_bh2")
    ),
    Internal(
        "comfy.samplers:calculate_sigmas",
        "the pack knows the noise levels that samplers visit",
        nodes_that(needs.NOISE_LEVELS_OF_SAMPLERS),
        called="model_sampling, scheduler, steps",
    ),
    *(
        Internal(
            f"comfy.patcher_extension:WrappersMP.{name}", "the pack records a sampling run", nodes_that(needs.SAMPLING)
        )
        for name in ("OUTER_SAMPLE", "PREDICT_NOISE", "APPLY_MODEL", "DIFFUSION_MODEL")
    ),
    Internal(
        "comfy.patcher_extension:WrapperExecutor.__init__",
        "the pack finds the guider of a run",
        nodes_that(needs.SAMPLING),
        uses=("class_obj",),
    ),
    Internal(
        "comfy.patcher_extension:add_wrapper_with_key",
        "the pack records a sampling run",
        nodes_that(needs.SAMPLING),
        called="kind, key, wrapper, options, is_model_options=",
    ),
    Internal(
        "comfy.patcher_extension:copy_nested_dicts",
        "the pack gives a run options of its own",
        nodes_that(needs.SAMPLING),
        called="options",
    ),
    Internal(
        f"{_PATCHER}.add_wrapper_with_key",
        "the pack records a sampling run",
        nodes_that(needs.SAMPLING),
        called="self, kind, key, wrapper",
    ),
    Internal(
        "comfy.samplers:CFGGuider.__init__",
        "the pack keeps the options of a run apart",
        nodes_that(needs.SAMPLING),
        called="self, patcher",
        uses=("model_options",),
    ),
    Internal(
        "comfy.samplers:CFGGuider.sample",
        "the pack records a sampling run from its start to its end",
        nodes_that(needs.SAMPLING),
        uses=("OUTER_SAMPLE", "outer_sample", "conds"),
    ),
    Internal(
        "comfy.samplers:CFGGuider.outer_predict_noise",
        "the pack records each step of a run",
        nodes_that(needs.SAMPLING),
        uses=("PREDICT_NOISE",),
    ),
    Internal(
        "comfy.samplers:_calc_cond_batch",
        "the pack knows which conditioning a row of a call belongs to",
        nodes_that(needs.SAMPLING),
        uses=("cond_or_uncond", "uuids", "sigmas"),
    ),
    Internal(
        "comfy.model_base:BaseModel.apply_model",
        "the pack records each call of the model",
        nodes_that(needs.SAMPLING),
        uses=("APPLY_MODEL",),
    ),
)
