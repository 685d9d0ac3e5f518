"""The clones of MODEL and CLIP that gradients and changes of weights go through."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from ...core.types import Change
from ..shared.families import FAMILIES
from ..shared.model_parts import given
from ..shared.recomputation import Recomputation
from ..shared.weights.changes_in_force import ChangesInForce
from .blocks import recompute_blocks, recompute_text_blocks
from .gradients import ChangesOf, differentiable, differentiable_clip, wants_gradients
from .names import attention_keys
from .text.weights import text_keys
from .transformers.attention_weights import WeightPart, attention_parts
from .transformers.sites import transformer_entries

LEARNING_MEMORY = 4  # a pass that gradients are taken through, against one that only samples
RECOMPUTING_MEMORY = 2  # the same where blocks are computed again


class LearningClones:
    """Clones that are made when gradients or changed weights are first wanted, and that are used from then on.

    Args:
        model, clip: the user's own; None where a job has none.
        family: of the model.
        changes: of weights, asked for at every use of one.
        recomputation: whether the blocks of the clones are computed again in the backward pass.
    """

    def __init__(
        self, model: Any, clip: Any, family: str, changes: ChangesInForce, recomputation: Recomputation
    ) -> None:
        self._model, self._clip, self._family = model, clip, FAMILIES.get(family)
        self._changes, self._recomputation = changes, recomputation
        self._made: tuple[Any, Any] | None = None
        self._text_needed = False

    def in_force(self) -> tuple[Any, Any]:
        """MODEL and CLIP to compute with: the user's own until gradients or changes are wanted, then the clones."""
        if self._made is None and (wants_gradients() or self._changes.weights or self._changes.texts):
            self._made = self._cloned_model(), self._cloned_clip()
        return (self._model, self._clip) if self._made is None else self._made

    def load(self, latent: Tensor) -> Any:
        """The MODEL to compute with, in memory, with room for a pass over a latent (B, C, h, w)."""
        import comfy.model_management as management

        management.throw_exception_if_processing_interrupted()  # so that every job can be cancelled at every pass
        model, clip = self.in_force()
        patcher = given(model, "MODEL")
        learning = RECOMPUTING_MEMORY if self._recomputation.choice == "on" else LEARNING_MEMORY
        wanted = patcher.memory_required(list(latent.shape)) * (learning if wants_gradients() else 1)
        # A backward pass through both needs both: loaded together, they do not displace each other.
        together = patchers(patcher, clip) if self._text_needed else [patcher]
        management.load_models_gpu(together, memory_required=wanted)
        return patcher

    def encoded(self, context: Tensor) -> None:
        """Note an encoded text: until its gradient has been taken, MODEL and CLIP stay in memory together.

        Where nothing is learnt through the text encoder, as while ConES searches, only one of the two has to fit.
        """
        if context.requires_grad:
            self._text_needed = True
            context.register_hook(self._gradient_taken)

    def close(self) -> None:
        """Give back what gradients took: the user's own MODEL and CLIP take the place of the clones in memory."""
        if self._made is None:
            return
        import comfy.model_management as management

        management.load_models_gpu(patchers(self._model, self._clip))
        self._made, self._text_needed = None, False
        management.soft_empty_cache()

    def _gradient_taken(self, _: Tensor) -> None:
        self._text_needed = False

    def _cloned_model(self) -> Any:
        if self._model is None or self._family is None:
            return None
        model = differentiable(self._model, self._changes_by_key())
        recompute_blocks(model, self._family, self._recomputation, self._changes.remembered)
        return model

    def _cloned_clip(self) -> Any:
        if self._clip is None:
            return None
        changes = {key: partial(self._changes.of_text, *named) for named, key in text_keys(self._clip).items()}
        clip = differentiable_clip(self._clip, changes)
        recompute_text_blocks(clip.patcher, self._recomputation, self._changes.remembered)
        return clip

    def _changes_by_key(self) -> Mapping[str, ChangesOf]:
        assert self._family is not None
        if self._family.transformer is None:
            return {key: partial(self._changes.of_weight, name) for name, key in attention_keys(self._model).items()}
        of_key: dict[str, dict[str, WeightPart]] = {}
        for name, part in attention_parts(self._family, self._model).items():
            of_key.setdefault(part.key, {})[name] = part
        entries = transformer_entries(self._family, self._model.get_model_object("diffusion_model"))
        whole = {key: partial(self._changes.of_weight, name) for name, (key, _) in entries.items()}
        return whole | {key: partial(self._changes_of_parts, parts) for key, parts in of_key.items()}

    def _changes_of_parts(self, parts: Mapping[str, WeightPart]) -> list[Change]:
        return [part.placed(change) for name, part in parts.items() for change in self._changes.of_weight(name)]


def patchers(model: Any, clip: Any) -> list[Any]:
    """Those of the parts that are there, as ComfyUI's memory management takes them."""
    return [patcher for patcher in (model, getattr(clip, "patcher", None)) if patcher is not None]
