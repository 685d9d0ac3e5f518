"""Guards inside ComfyUI: every sampling run on a guarded MODEL is corrected.

As with :mod:`.composing.compositions`, the MODEL carries one wrapper around sampling; what acts lives in the run's own
copy of the model options, and is gone with it, however the run ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...core.backbone import AttentionInputs, EditedOutput
from ...core.erase.guards.guard import GuardRun
from ..shared.guards import SamplingGuard
from .attention.sites import preferred_attention, site_table
from .attention.taps import with_listener
from .backbone import ComfyBackbone
from .latents import without_frames
from .running import AskedBackbone, RunningBackbone, refuse_mask, refuse_own_tensors, refuse_several_gpus

WRAPPER_KEY = "concept_atelier.guard"
POST_CFG = "sampler_post_cfg_function"


def with_guard(patcher: Any, guard: SamplingGuard) -> Any:
    """A clone whose sampling runs are guarded. Raises as the method's check does."""
    import comfy.patcher_extension as extension

    guard.check(ComfyBackbone(patcher))
    clone = patcher.clone()
    clone.add_wrapper_with_key(extension.WrappersMP.OUTER_SAMPLE, WRAPPER_KEY, AroundSampling(guard))
    return clone


def guards_of(patcher: Any) -> tuple[SamplingGuard, ...]:
    """The guards of a MODEL's sampling runs, the first one first."""
    import comfy.patcher_extension as extension

    wrappers = patcher.get_wrappers(extension.WrappersMP.OUTER_SAMPLE, WRAPPER_KEY)
    return tuple(one.guard for one in wrappers)


@dataclass(frozen=True, eq=False)
class AroundSampling:
    """Guards one sampling run."""

    guard: SamplingGuard

    def __call__(self, executor: Any, noise: Tensor, *args: Any, **kwargs: Any) -> Any:
        guider, guard = executor.class_obj, self.guard
        # What the guard asks is not guarded: what acts lies in the options of the guider, not in those of its MODEL.
        backbone = RunningBackbone(guider.model_patcher)
        original = backbone if guard.original is None else AskedBackbone(guard.original, guider.model_patcher)
        run = guard.begin(backbone, original)
        if run.moves:
            refuse_mask(guard.title, guard.alternative, args, kwargs)
            refuse_own_tensors(guard.title, guard.alternative, args, kwargs)
        before = guider.model_options
        guider.model_options = _options(guider.model_patcher, run, before)
        try:
            samples = executor(noise, *args, **kwargs)
        finally:
            guider.model_options = before
        run.finished(samples)
        return samples


def _options(patcher: Any, run: GuardRun, model_options: dict[str, Any]) -> dict[str, Any]:
    """A copy of a run's model options with the guard in force."""
    import comfy.patcher_extension as extension

    options = extension.copy_nested_dicts(dict(model_options))
    if run.edits:
        denoiser = patcher.get_model_object("diffusion_model")
        options["transformer_options"] = with_listener(
            options.get("transformer_options", {}),
            site_table(denoiser),
            preferred=preferred_attention(denoiser),
            on_inputs=lambda inputs: _edited(run, inputs),
        )

    def around_step(executor: Any, x: Tensor, t: Tensor, *args: Any, **kwargs: Any) -> Any:
        latent, level = without_frames(x), t.flatten()[0]
        changed = run.perturbed(latent, level)
        if changed is not latent:
            # The sampler goes on from this tensor, which it made for this run, and no hook hands it another.
            latent.copy_(changed)
        return executor(x, t, *args, **kwargs)

    def after_guidance(given: Mapping[str, Any]) -> Tensor:
        x, clean = given["input"], given["denoised"]
        latent, level = without_frames(x), given["sigma"].flatten()[0]
        slope = (latent - without_frames(clean)) / level
        corrected = run.corrected(slope, latent, level, float(given["cond_scale"]))
        return clean if corrected is slope else (latent - level * corrected).reshape(clean.shape)

    def around_model(executor: Any, x: Tensor, t: Tensor, *args: Any, **kwargs: Any) -> Any:
        given = args[3] if len(args) > 3 else kwargs.get("transformer_options", {})
        refuse_several_gpus("a guard that edits attention", given)
        return executor(x, t, *args, **kwargs)

    if run.edits:
        extension.add_wrapper_with_key(
            extension.WrappersMP.APPLY_MODEL, WRAPPER_KEY, around_model, options, is_model_options=True
        )
    extension.add_wrapper_with_key(
        extension.WrappersMP.PREDICT_NOISE, WRAPPER_KEY, around_step, options, is_model_options=True
    )
    options[POST_CFG] = [*options.get(POST_CFG, ()), after_guidance]
    return options


def _edited(run: GuardRun, inputs: AttentionInputs) -> list[tuple[slice, Tensor | EditedOutput]]:
    found = run.edit(inputs)
    return [] if found is None else [(slice(None), found)]
