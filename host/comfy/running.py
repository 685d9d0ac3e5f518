"""The model of a sampling run, as methods see it that make passes of their own between the sampler's."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ...core.backbone import Conditioning
from .backbone import ComfyBackbone
from .noise import FlowLevels, NoiseLevels


class RunningBackbone(ComfyBackbone):
    """The MODEL that a sampler is running: it is in memory already, and stays there.

    Gradients need a MODEL that was made for them before the run (:func:`.gradients.differentiable`).
    """

    def _in_force(self) -> tuple[Any, Any]:
        return self._model, self._clip

    def _load(self, latent: Tensor) -> Any:
        return self.model


class AskedBackbone(ComfyBackbone):
    """Another MODEL that is asked while a sampler runs one.

    Both may be patched copies of the same weights, of which one at a time is in memory: after every pass those of the
    running MODEL are there again.
    """

    def __init__(self, model: Any, running: Any) -> None:
        super().__init__(model)
        self._running = running

    def _denoised(self, latent: Tensor, timestep: Tensor, conditioning: Conditioning) -> tuple[Tensor, Tensor, Tensor]:
        import comfy.model_management as management

        self._running.unpatch_hooks()  # ComfyUI applies hooks anew where it knows that none are
        try:
            return super()._denoised(latent, timestep, conditioning)
        finally:
            rows, *rest = latent.shape
            wanted = self._running.memory_required([2 * rows, *rest])  # with guidance
            management.load_models_gpu([self._running], memory_required=wanted)


def signal_scale(levels: NoiseLevels | FlowLevels, sigma: Tensor) -> Tensor:
    """By how much a sampler's latent is larger than the backbone's, at a noise level (1,)."""
    return sigma * 0 + 1 if isinstance(levels, FlowLevels) else (1 + sigma**2).sqrt()


def refuse_several_gpus(who: str, options: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` for a call of a model that is one of several at the same time, by its transformer options:
    what is kept of a call is kept once. ``who`` says for people what does not work then."""
    if "multigpu_thread_device" in options:
        raise ValueError(f"{who} does not work while several GPUs compute one step; sample on one GPU")


OWN_TENSORS = ("sample_unipc", "sample_unipc_bh2")
"""Functions of samplers that hand the model a tensor of their own at every step, and do not go on from it."""


def refuse_mask(mover: str, instead: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` for a sampling run in a noise mask: the sampler would not see that the latent moves.

    Args:
        mover: the method that moves it, for people.
        instead: a method that does not.
        args, kwargs: what follows the noise in the call of ``outer_sample``.
    """
    if kwargs.get("denoise_mask", args[3] if len(args) > 3 else None) is not None:
        raise ValueError(
            f"{mover} moves the latent, which a sampler ignores if the latent has a noise mask; sample "
            f"without the mask, or choose {instead}"
        )


def refuse_own_tensors(mover: str, instead: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` for samplers that keep a latent of their own, beside which a long move is taken for noise.

    Arguments as in :func:`refuse_mask`.
    """
    sampler = kwargs.get("sampler", args[1] if len(args) > 1 else None)
    if getattr(getattr(sampler, "sampler_function", None), "__name__", "") in OWN_TENSORS:
        raise ValueError(
            f"{mover} moves the latent, which the samplers uni_pc and uni_pc_bh2 do not see; sample with another one "
            f"(euler, dpmpp_2m), or choose {instead}"
        )
