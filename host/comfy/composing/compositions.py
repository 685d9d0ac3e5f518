"""Compose Concepts inside ComfyUI: every sampling run on the composed MODEL edits the attention of the positive text
that the composition encoded.

As with :mod:`..attention.capture`, the MODEL carries one wrapper around sampling; the edits live in the run's own copy
of the model options, and are gone with it, however the run ends. Methods that move the latent by gradients get a MODEL
whose weights let them pass (:mod:`..gradients`), from the start: nothing is loaded anew while a picture is sampled.
"""

from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ....core.backbone import AttentionInputs, EditedOutput
from ....core.compose.composer import Run, leave
from ....core.compose.parts.layers import RowsOfPass
from ....core.compose.parts.regional import read_alone
from ....core.compose.parts.steering import LatentStep
from ....core.messages import listed
from ...shared.compositions import Composed
from ...shared.errors import UnsupportedModelError
from ...shared.families import FAMILIES, ModelFamily
from ...shared.weights.layer_edits import LayerPass, edited_layers
from ..attention.sites import preferred_attention, site_table
from ..attention.taps import with_listener
from ..gradients import differentiable, plain_weights
from ..latents import without_frames
from ..noise import levels_of
from ..parts import model_family
from ..running import RunningBackbone, refuse_mask, refuse_several_gpus, signal_scale
from ..transformers import sites as transformer_sites
from ..transformers import taps as transformer_taps
from ..transformers.taps import TransformerListener

WRAPPER_KEY = "concept_atelier.compose"
BESIDE = ("guidance",)
"""Options of a CONDITIONING that passes of a method's own read: FLUX's guidance."""


def with_composition(patcher: Any, composed: Composed) -> Any:
    """A clone whose sampling runs are composed.

    Raises :class:`~...shared.errors.UnsupportedModelError` where texts cannot be kept to regions and the method does
    so.
    """
    import comfy.patcher_extension as extension

    family = FAMILIES[model_family(patcher)]
    divides = {"texts", "branches"} & set(composed.composer.needs)
    if divides and family.transformer is not None and not family.transformer.regions:
        there = listed(one.title for one in FAMILIES.values() if one.transformer is None or one.transformer.regions)
        raise UnsupportedModelError(
            f"{family.title} cannot keep texts to regions; that works in: {there}. Here choose t2i_zero, "
            "attend_and_excite or localized_refinement, which read the words of the prompt"
        )

    gradients = composed.settings.takes_gradients(composed.composition)
    clone = differentiable(patcher) if gradients else patcher.clone()
    clone.add_wrapper_with_key(extension.WrappersMP.OUTER_SAMPLE, WRAPPER_KEY, AroundSampling(composed, patcher))
    return clone


def compositions_of(patcher: Any) -> tuple[Composed, ...]:
    """What the sampling runs of a MODEL compose, the first one first."""
    import comfy.patcher_extension as extension

    wrappers = patcher.get_wrappers(extension.WrappersMP.OUTER_SAMPLE, WRAPPER_KEY)
    return tuple(one.composed for one in wrappers)


@dataclass(frozen=True, eq=False)
class AroundSampling:
    """Composes one sampling run, and keeps where its regions lie."""

    composed: Composed
    patcher: Any

    def __call__(self, executor: Any, noise: Tensor, *args: Any, **kwargs: Any) -> Any:
        guider = executor.class_obj
        twice = len(compositions_of(guider.model_patcher)) > 1
        run = _Run(guider, self.composed, self.patcher, twice)
        if run.composing.before is not None:
            refuse_mask(self.composed.composer.title, "attention_couple", args, kwargs)
        before = guider.model_options
        guider.model_options = run.options(before)
        try:
            with run.layers_edited():
                samples = executor(noise, *args, **kwargs)
            self.composed.finished(run.composing, samples)
        finally:
            guider.model_options = before
            run.close()
        return samples


@dataclass(eq=False)
class _Run:
    """One sampling run."""

    guider: Any
    composed: Composed
    patcher: Any
    twice: bool = False
    latent: Tensor | None = None
    timestep: float | None = None
    rows: tuple[tuple[slice, bool], ...] = ()
    composing: Run = field(init=False)
    listener: TransformerListener | None = None
    passing: LayerPass | None = None
    loosened: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        levels = levels_of(self.patcher.get_model_object("model_sampling"))
        self.composing = self.composed.begin(levels.schedule.steps)
        self.composed.check_sampled(bool(self._uuids()), self.twice)

    def close(self) -> None:
        """Let go of what the run held: listener and run hold each other, until Python looks for such cycles."""
        self.listener = self.latent = None
        self.loosened.close()

    def options(self, model_options: dict[str, Any]) -> dict[str, Any]:
        """A copy of the run's model options that edits."""
        import comfy.patcher_extension as extension

        options = extension.copy_nested_dicts(dict(model_options))
        if self.composing.edit is not leave:
            options["transformer_options"] = self._editing(options.get("transformer_options", {}))
        for kind, wrapper in (
            (extension.WrappersMP.PREDICT_NOISE, self.around_step),
            (extension.WrappersMP.APPLY_MODEL, self.around_model),
        ):
            extension.add_wrapper_with_key(kind, WRAPPER_KEY, wrapper, options, is_model_options=True)
        return options

    def layers_edited(self) -> AbstractContextManager[None]:
        """Within the context the method may add to what layers beside attention give."""
        edit, names = self.composing.layers, self.composed.composition.layers
        if edit is None:
            return nullcontext()
        return edited_layers(self._denoiser, names, edit, lambda: self.passing)

    @property
    def _denoiser(self) -> Any:
        return self.guider.model_patcher.get_model_object("diffusion_model")  # hooks may have put another in its place

    def _rows_of_pass(self, x: Tensor, length: int) -> RowsOfPass:
        """Where rows lie in a pass at ``x`` that reads so many rows of text."""
        size = (x.shape[-2], x.shape[-1])
        if self._family.transformer is None:
            return RowsOfPass(size)
        encoded = min(length, self.composed.composition.length)
        rows = transformer_sites.rows_of(self._family, self._denoiser, size, length, encoded)
        return RowsOfPass(size, rows.grid, rows.text, rows.context.start, length, rows.picture)

    def _editing(self, given: dict[str, Any]) -> dict[str, Any]:
        """``transformer_options`` by which attention is edited."""
        denoiser = self._denoiser
        if self._family.transformer is None:
            preferred = preferred_attention(denoiser)
            return with_listener(given, site_table(denoiser), preferred=preferred, on_inputs=self.on_inputs)
        table = transformer_sites.site_table(self._family, denoiser)
        preferred_calls = transformer_sites.preferred_attention(self._family, denoiser)
        names = [site.name for site in table.values()]
        previous = given.get(transformer_taps.OVERRIDE)
        text_calls = transformer_sites.text_calls(self._family, denoiser) if self.composing.divides else range(0)
        self.listener = TransformerListener(
            table, names, None, preferred_calls, previous, self.on_inputs, self.on_text, text_calls
        )
        return transformer_taps.with_listener(given, self.listener, edits=True)

    @property
    def _family(self) -> ModelFamily:
        return FAMILIES[model_family(self.patcher)]

    def around_step(self, executor: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Around one guided prediction: lets the method move the latent, and keeps the whole of it, of which calls may
        see pieces."""
        if self.composing.before is not None:
            if self.latent is None and self.composed.settings.takes_gradients(self.composed.composition):
                self.loosened.enter_context(plain_weights(self._denoiser))  # all are in memory by now
            self._move(self.composing.before, x, args[0] if args else kwargs["timestep"])
        self.latent = x
        return executor(x, *args, **kwargs)

    def _move(self, step: LatentStep, x: Tensor, sigma: Tensor) -> None:
        """It changes in place: the sampler goes on from what it holds."""
        levels = levels_of(self.guider.inner_model.model_sampling)
        level = sigma.flatten()[:1].float()
        scale = signal_scale(levels, level).view(1, 1, 1, 1)
        time = int(min(max(round(levels.timestep(level)), 0), levels.schedule.steps - 1))
        picture = without_frames(x)
        latent = picture.float() / scale
        self.passing = LayerPass(self._rows_of_pass(picture, self.composed.composition.length), timestep=float(time))
        try:
            moved = step(self.backbone, latent, torch.full((len(x),), time, device=x.device))
        finally:
            self.passing = None
        if moved is not latent:
            picture.copy_(moved * scale)

    @cached_property
    def backbone(self) -> RunningBackbone:
        """The model of this run, whose own passes read what the composed text's CONDITIONING says beside the text."""
        ours = [cond for cond in self.guider.conds.get("positive", ()) if self.composed.reads(_context(cond))]
        beside = {name: cond[name] for cond in ours for name in BESIDE if name in cond}
        return RunningBackbone(self.guider.model_patcher, beside=beside)

    def around_model(self, executor: Any, x: Tensor, t: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Around one call of the model: finds the rows of the composed text."""
        options = args[3] if len(args) > 3 else kwargs.get("transformer_options", {})
        refuse_several_gpus(self.composed.node, options)
        sigma = t.flatten()[:1]
        self.timestep = levels_of(self.guider.inner_model.model_sampling).timestep(sigma)
        self.rows = self._rows(x, options.get("uuids") or ())
        context = args[1] if len(args) > 1 else kwargs.get("c_crossattn")
        length = 0 if context is None else context.shape[1]
        if self.composing.layers is not None:
            self.passing = LayerPass(self._rows_of_pass(x, length), self.rows, self.timestep)
        if self.listener is not None:
            size = (x.shape[-2], x.shape[-1])
            encoded = min(length, self.composed.composition.length)  # what the model makes of it may be longer
            self.listener.begin(transformer_sites.rows_of(self._family, self._denoiser, size, length, encoded), options)
        try:
            return executor(x, t, *args, **kwargs)
        finally:
            self.rows, self.passing = (), None
            if self.listener is not None:
                self.listener.begin(None)

    def on_inputs(self, inputs: AttentionInputs) -> list[tuple[slice, Tensor | EditedOutput]]:
        """What the method makes of one layer."""
        found: list[tuple[slice, Tensor | EditedOutput]] = []
        for rows, said in self.rows:
            fits = rows.stop <= len(inputs.call.query)
            output = self.composing.edit(self._part(inputs, rows, said)) if fits else None
            if output is not None:
                found.append((rows, output))
        return found

    def on_text(
        self, query: Tensor, key: Tensor, value: Tensor, scale: float, rows: transformer_sites.Rows
    ) -> list[tuple[slice, Tensor]]:
        """What becomes of rows of the text that attend to each other before the picture joins them."""
        composition, found = self.composed.composition, []
        for part, said in self.rows:
            if said and part.stop <= len(query):
                own = query[part], key[part], value[part]
                found.append((part, read_alone(*own, scale, composition, rows.context.start)))
        return found

    def _part(self, inputs: AttentionInputs, rows: slice, said: bool) -> AttentionInputs:
        call = inputs.call
        own = said and call.site.kind == "cross" and self._family.transformer is None  # of a repeated context the first
        keys = slice(0, self.composed.composition.length) if own else slice(None)
        part = replace(
            call,
            query=call.query[rows],
            key=call.key[rows, :, keys],
            conditional=(said,) * (rows.stop - rows.start),
            timestep=self.timestep,
        )
        sources = inputs.sources
        if sources is not None:
            query, key, value = sources
            sources = query[rows], key[rows, keys], value[rows, keys]
        return replace(inputs, call=part, value=inputs.value[rows, :, keys], sources=sources)

    def _rows(self, x: Tensor, uuids: Any) -> tuple[tuple[slice, bool], ...]:
        """The rows of each conditioning of a call, and whether it is the composed text.

        Raises ``ValueError`` for calls that see pieces of the picture, or rows of which it is not known whose they are.
        """
        node, batch = self.composed.node, len(x) if self.latent is None else len(self.latent)
        if self.latent is not None and x.shape[-2:] != self.latent.shape[-2:]:
            raise ValueError(
                f"{node} cannot be sampled in areas or tiles: its regions lie in the whole picture; give the regions "
                f"to {node}, and no area to its CONDITIONING"
            )
        if len(x) != batch * len(uuids):
            raise ValueError(
                f"a call of the model has {len(x)} rows for {batch} pictures and {len(uuids)} "
                f"conditionings, so {node} cannot tell which of them read its text; remove the node that "
                "calls the model in this way"
            )
        ours = self._uuids()
        return tuple((slice(number * batch, (number + 1) * batch), uuid in ours) for number, uuid in enumerate(uuids))

    def _uuids(self) -> set[Any]:
        """Those of the positive conditionings that read the composed text."""
        conds = self.guider.conds.get("positive", ())
        return {cond.get("uuid") for cond in conds if self.composed.reads(_context(cond))}


def _context(cond: Any) -> Tensor | None:
    encoded = cond.get("cross_attn")
    return encoded if encoded is not None else getattr(cond.get("model_conds", {}).get("c_crossattn"), "cond", None)
