"""Capture Attention inside ComfyUI: every sampling run on the captured MODEL notes its own attention.

The MODEL carries one wrapper around sampling and nothing else. When a sampler starts, the wrapper puts the listening
options (:mod:`.taps`) into the run's own copy of the model options; when it ends, in whatever way, they are gone
with that copy. Three things have to be known of each call of the model:

- **whose rows are whose.** Samplers put conditionings in any order, over one or several calls: ``uuids`` name them.
- **which text.** Each positive conditioning is kept apart by its context; where contexts of several lengths run in one
  call they are repeated to a common one, and only the first copy of the keys counts.
- **which piece of the picture.** Areas and tiles are cut out of the latent of the step: they are found in it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ....core.attention.record import AttentionRecorder
from ....core.attribute.places import Place, find_place, whole
from ....core.backbone import AttentionCall, Conditioning
from ...shared.captures import AttentionCapture, CapturedPart, Run, on_cpu
from ..latents import without_frames
from ..noise import levels_of
from .concept_captures import ConceptPasses
from .listeners import PassListener, pass_listener_of
from .overrides import OVERRIDE

WRAPPER_KEY = "concept_atelier.capture"
_ARGUMENTS = ("c_concat", "c_crossattn", "control", "transformer_options")
"""Of a call of the model behind latent and noise level, in their order."""


def with_capture(patcher: Any, capture: AttentionCapture) -> Any:
    """A clone whose sampling runs are added to ``capture`` as they finish.

    Raises :class:`~...shared.errors.UnsupportedModelError` for models that no adapter reads.
    """
    import comfy.patcher_extension as extension

    pass_listener_of(patcher, capture.selection)  # refuses what cannot be captured before anything is sampled
    if capture.concepts is not None:
        ConceptPasses(patcher, capture.concepts)

    def around_sampling(executor: Any, noise: Tensor, *args: Any, **kwargs: Any) -> Any:
        guider = executor.class_obj
        before = guider.model_options
        listener = _RunListener(guider, capture, pass_listener_of(patcher, capture.selection))
        if capture.concepts is not None:
            previous = before.get("transformer_options", {}).get(OVERRIDE)
            listener.concepts = ConceptPasses(patcher, capture.concepts, previous)
        guider.model_options = listener.options(before)
        try:
            samples = executor(noise, *args, **kwargs)
        finally:
            guider.model_options = before
            listener.close()
        capture.add(listener.finished(samples))
        return samples

    clone = patcher.clone()
    clone.add_wrapper_with_key(extension.WrappersMP.OUTER_SAMPLE, WRAPPER_KEY, around_sampling)
    return clone


@dataclass(frozen=True)
class _Group:
    """Rows of the running call that belong to one text and one place, how many rows that text was encoded to, and its
    number."""

    rows: slice
    recorder: AttentionRecorder
    encoded: int
    text: int
    place: Place


@dataclass(eq=False)
class _RunListener:
    """One sampling run."""

    guider: Any
    capture: AttentionCapture
    pass_listener: PassListener
    latent: Tensor | None = None
    timestep: float | None = None
    groups: tuple[_Group, ...] = ()
    contexts: list[Tensor] = field(default_factory=list)
    recorders: dict[tuple[int, Place], AttentionRecorder] = field(default_factory=dict)
    missed: dict[str, None] = field(default_factory=dict)
    concepts: ConceptPasses | None = None

    def options(self, model_options: dict[str, Any]) -> dict[str, Any]:
        """A copy of the run's model options that listens."""
        import comfy.patcher_extension as extension

        options = extension.copy_nested_dicts(dict(model_options))
        given = options.get("transformer_options", {})
        options["transformer_options"] = self.pass_listener.options(given, self.on_attention)
        for kind, wrapper in (
            (extension.WrappersMP.PREDICT_NOISE, self.around_step),
            (extension.WrappersMP.APPLY_MODEL, self.around_model),
        ):
            extension.add_wrapper_with_key(kind, WRAPPER_KEY, wrapper, options, is_model_options=True)
        return options

    def around_step(self, executor: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Around one guided prediction: keeps the whole latent, of which calls may see pieces."""
        self.latent = x
        return executor(x, *args, **kwargs)

    def around_model(self, executor: Any, x: Tensor, t: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Around one call of the model."""
        options = args[3] if len(args) > 3 else kwargs.get("transformer_options", {})
        if "multigpu_thread_device" in options:  # calls of one step overlap, and what is kept of a call is kept once
            self.missed["several GPUs compute one step at the same time"] = None
            return executor(x, t, *args, **kwargs)
        self.timestep = self._timestep(t)
        self.groups = tuple(self._groups(without_frames(x), options))
        context = args[1] if len(args) > 1 else kwargs.get("c_crossattn")
        self.pass_listener.begin((x.shape[-2], x.shape[-1]), 0 if context is None else context.shape[1], options)
        try:
            found = executor(x, t, *args, **kwargs)
        finally:
            groups, self.groups = self.groups, ()
            self.missed |= dict.fromkeys(self.pass_listener.end())
        if self.concepts is not None and groups and self._in_span():
            conditional = self._conditional(len(x), groups)
            if any(conditional):
                given = dict(zip(_ARGUMENTS, args, strict=False)) | kwargs
                self.concepts.run(executor, x, t, given, conditional)
        return found

    def _conditional(self, rows: int, groups: Sequence[_Group]) -> list[bool]:
        """The rows of a call beside whose text concepts are read: of the first, where it is about the whole picture."""
        everywhere = None if self.latent is None else whole((self.latent.shape[-2], self.latent.shape[-1]))
        ours = [one for one in groups if one.text == 0 and one.place == everywhere]
        if len(ours) != len(groups):
            self.missed["concepts are read beside the first positive text, about the whole picture"] = None
        return [any(one.rows.start <= at < one.rows.stop for one in ours) for at in range(rows)]

    def _in_span(self) -> bool:
        span = self.capture.selection.timesteps
        return span is None or (self.timestep is not None and span[0] <= self.timestep <= span[1])

    def on_attention(self, call: AttentionCall) -> None:
        """Beside one attention layer."""
        for group in self.groups:
            if len(call.query) < group.rows.stop:
                self.missed["another pack changes the number of rows inside the attention layers"] = None
                continue
            group.recorder.tap(
                self.pass_listener.part(replace(call, timestep=self.timestep), group.rows, group.encoded)
            )

    def finished(self, samples: Tensor) -> Run:
        """What was captured, given what the sampler returned."""
        parts = tuple(
            CapturedPart(place, on_cpu(recorder.maps()))
            for (_, place), recorder in self.recorders.items()
            if not recorder.empty
        )
        size = (samples.shape[-2], samples.shape[-1])
        maps = None if self.concepts is None else self.concepts.tape.maps()
        return Run(parts, size, samples.detach().float().cpu().clone(), tuple(self.missed), maps)

    def close(self) -> None:
        """The run is over: let go of the sampler and its MODEL.

        Listeners refer to each other, so the MODEL would otherwise stay until Python collects garbage. ComfyUI makes it
        do so at every load for as long as a clone that it loaded is gone.
        """
        self.guider = self.latent = None

    def _timestep(self, sigma: Tensor) -> float | None:
        """The timestep of a call, None when its rows differ."""
        first = sigma.flatten()[:1]
        if not bool((sigma == first).all()):
            return None
        return levels_of(self.guider.inner_model.model_sampling).timestep(first)

    def _groups(self, x: Tensor, options: Mapping[str, Any]) -> list[_Group]:
        """Which rows of ``x`` are captured, and into what. Calls stack whole batches, one for each conditioning, and
        tiles stack such stacks."""
        uuids, indices = options.get("uuids"), options.get("cond_or_uncond")
        latent = None if self.latent is None else without_frames(self.latent)
        if uuids is None or indices is None or latent is None or latent.ndim != 4:
            self.missed["the sampler does not say which conditioning it is computing"] = None
            return []
        batch = len(latent)
        if len(x) % (batch * len(uuids)):
            self.missed["the sampler stacks conditionings in an unknown way"] = None
            return []
        groups: list[_Group] = []
        for number, start in enumerate(range(0, len(x), batch)):
            chunk = number % len(uuids)
            context = self._positive_context(uuids[chunk], indices[chunk])
            place = None if context is None else self._place(x[start], latent)
            if context is not None and place is not None:
                text = self._text(context)
                recorder = self._recorder(text, place)
                groups.append(_Group(slice(start, start + batch), recorder, context.shape[1], text, place))
        return groups

    def _positive_context(self, uuid: Any, index: int) -> Tensor | None:
        """The context (1 or B, L, D) of a chunk if it is a positive one.

        Where a negative text has an area, ComfyUI gives the positive side a copy under the negative's uuid: then the
        index decides.
        """
        conds = self.guider.conds
        own = [cond for cond in conds.get("positive", ()) if cond.get("uuid") == uuid]
        elsewhere = any(cond.get("uuid") == uuid for name in conds if name != "positive" for cond in conds[name])
        if not own or (elsewhere and index != 0):
            return None
        encoded = own[0].get("cross_attn")  # what the model makes of it may be longer
        if encoded is not None:
            return encoded
        held = own[0].get("model_conds", {}).get("c_crossattn")
        return getattr(held, "cond", None)

    def _place(self, piece: Tensor, latent: Tensor) -> Place | None:
        if piece.shape[-2:] == latent.shape[-2:]:
            return whole((latent.shape[-2], latent.shape[-1]))
        place = find_place(piece, latent[0])
        if place is None:
            self.missed["it was sampled in tiles that are no cut-outs of the latent"] = None
        return place

    def _text(self, context: Tensor) -> int:
        """The number of a text, counted from 0 as they come."""
        text = next((i for i, known in enumerate(self.contexts) if _same(known, context)), None)
        if text is None:
            text = len(self.contexts)
            self.contexts.append(context)
        return text

    def _recorder(self, text: int, place: Place) -> AttentionRecorder:
        if (text, place) not in self.recorders:
            recorder = AttentionRecorder(self.capture.selection)
            recorder.begin(Conditioning(self.contexts[text]))
            self.recorders[(text, place)] = recorder
        return self.recorders[(text, place)]


def _same(one: Tensor, other: Tensor) -> bool:
    return one is other or (one.shape == other.shape and torch.equal(one, other))
