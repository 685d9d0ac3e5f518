"""Concepts beside the text while a sampler runs, inside ComfyUI: one more pass of each step, whose prediction nobody
uses. So what is sampled stays the same to the bit, and the pass ends at the last layer that is read.

It calls the model as the step did, without what other packs and nodes hang around it: they count steps, and would take
this pass for one.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from torch import Tensor

from ....core.attention.ending import PassEnded
from ....core.attribute.concept_attention import ConceptCall
from ...shared.captures import ConceptTape, WantedConcepts
from ...shared.errors import UnsupportedModelError
from ...shared.families import FAMILIES, no_concepts
from ..parts import model_family
from ..transformers.concepts import ConceptListener, with_concepts
from ..transformers.sites import preferred_attention, record_of, rows_of, site_table
from .overrides import OVERRIDE

_WRAPPERS = "wrappers"


class ConceptPasses:
    """The passes of one sampling run.

    Args:
        patcher: the MODEL.
        wanted: what is read.
        previous: the attention override that was there before ours.

    Raises :class:`~...shared.errors.UnsupportedModelError` for families beside whose text no concepts can run.
    """

    def __init__(self, patcher: Any, wanted: WantedConcepts, previous: Any = None) -> None:
        self._family = FAMILIES[model_family(patcher)]
        if self._family.transformer is None or not record_of(self._family).concepts:
            raise UnsupportedModelError(no_concepts(self._family.name))
        self._denoiser = patcher.get_model_object("diffusion_model")
        self.tape = ConceptTape(wanted)
        self._conditional: tuple[bool, ...] = ()
        table = site_table(self._family, self._denoiser)
        preferred = preferred_attention(self._family, self._denoiser)
        self._listener = ConceptListener(table, wanted.sites, self._notify, wanted.rows, preferred, previous)
        self._previous = previous

    def run(self, executor: Any, x: Tensor, t: Tensor, given: Mapping[str, Any], conditional: Sequence[bool]) -> None:
        """One pass.

        Args:
            executor: of the call that was made.
            x, t: what it was given.
            given: its other arguments by name.
            conditional: which rows belong to the positive conditioning.
        """
        import comfy.patcher_extension as extension

        options, context = dict(given["transformer_options"]), given["c_crossattn"]
        options[OVERRIDE] = self._previous
        around = extension.WrappersMP.DIFFUSION_MODEL
        options[_WRAPPERS] = {name: one for name, one in options.get(_WRAPPERS, {}).items() if name != around}
        size = (x.shape[-2], x.shape[-1])
        self._conditional = tuple(conditional)
        self._listener.begin(rows_of(self._family, self._denoiser, size, context.shape[1], context.shape[1]), len(x))
        changed = {
            **given,
            "c_crossattn": self._listener.extended(context),
            "transformer_options": with_concepts(options, self._listener),
        }
        try:
            with suppress(PassEnded):
                executor.original(x, t, **changed)
        finally:
            self._listener.begin(None)

    def _notify(self, call: ConceptCall) -> None:
        self.tape.tap(replace(call, conditional=self._conditional))
