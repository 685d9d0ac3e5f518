"""Running a task: check it, prepare its training, run the phases, collect the result."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from ...messages import listed
from ...types import ConceptTokens, LowRank
from ..parts.classdiffusion import class_term
from ..parts.concept_mask import MIDDLE, mask_term
from ..parts.consistency import AdaptiveWeights
from ..parts.cycle import cycle_term
from ..parts.examples import check, fit
from ..parts.token_pass import TokenReader, token_reader
from .loop import draw_timesteps
from .passes import counted_passes
from .task import Phase, S, Task, Training
from .training_run import TrainingRun, fingerprint


def run(task: Task[S], prepare: Callable[[Task[S], torch.Generator], Training]) -> ConceptTokens:
    """Check a task, prepare its training with a generator of its seed, and run the phases. The model is not changed.

    The metadata says, beside the task's: ``passes``, samples that went through the denoiser; ``updates`` of the
    optimiser; ``loss_first`` and ``loss_last``, means over a tenth of the updates; ``resumed_at``, the updates that the
    task's checkpoint store had a state of; ``set_aside``, why a state was not resumed; ``picture_weights``, adaptive
    ones of the pictures' labels at the end.

    Raises what ``prepare`` and the losses raise; ``ValueError`` for input that cannot be learnt from (see
    :func:`~..parts.examples.prepare`) and a class term without class words; ``FloatingPointError`` when training
    diverges.
    """
    for source in task.sources:
        check(source.picture, source.concepts)
    _check_names(task)
    task.draws.check(len(task.sources))
    with torch.inference_mode(False), torch.enable_grad(), counted_passes(task.backbone) as passes:
        generator = torch.Generator().manual_seed(task.seed)
        training = _with_token_terms(task, _with_class_term(task, prepare(task, generator)), generator)
        kept_as = fingerprint(task) if task.store is not None else ""
        training_run = TrainingRun(training, generator, task.store, kept_as)
        training_run.resume()
        prepared = passes.count if training_run.resumed else 0  # a resumed run prepares again; count it once
        losses = training_run.run(lambda: passes.count - prepared, _reporter(task, training))
        spent = training_run.passes + passes.count - prepared
        found = {"passes": str(spent), "updates": str(len(losses)), **training.notes(), **_ends(losses)}
        found |= {"resumed_at": str(training_run.resumed)} if training_run.resumed else {}
        found |= {"set_aside": training_run.set_aside} if training_run.set_aside else {}
        return replace(_result(task, training), losses=losses, metadata=task.metadata() | found)


def _reporter(task: Task[S], training: Training) -> Callable[[int, float], None] | None:
    on_step, total = task.on_step, sum(phase.loop.steps for phase in training.phases)
    if on_step is None:
        return None
    return lambda done, loss: on_step(done, total, loss, _result(task, training))


def _result(task: Task[S], training: Training) -> ConceptTokens:
    """Tokens and changes as they are now: copies on the CPU, outside the graph."""
    vectors = {name: {encoder: _copy(rows) for encoder, rows in of.items()} for name, of in training.tokens().items()}
    adapter = {name: LowRank(_copy(change.up), _copy(change.down)) for name, change in training.adapter().items()}
    return ConceptTokens(vectors, task.backbone.family, metadata=task.metadata(), adapter=adapter)


def _with_class_term(task: Task[S], training: Training) -> Training:
    weight = task.settings.class_weight
    if weight == 0:
        return training
    term = class_term(task.backbone, task.classes or {}, task.settings.class_template)

    def joined(phase: Phase) -> Phase:
        return replace(phase, loss_of=lambda step: phase.loss_of(step) + weight * term(training.tokens()))

    return replace(training, phases=[joined(phase) if phase.trains_tokens else phase for phase in training.phases])


def _with_token_terms(task: Task[S], training: Training, generator: torch.Generator) -> Training:
    """The terms that read one token alone: the cycle loss, the concept mask loss, and consistency."""
    settings, backbone = task.settings, task.backbone
    if not (settings.cycle_weight or settings.mask_weight or settings.adaptive_rate):
        return training
    latents = [backbone.encode_image(source.picture.clone()).float().clone() for source in task.sources]

    def in_force() -> AbstractContextManager[None]:
        changes = training.adapter()
        return backbone.adapted(changes) if changes else nullcontext()

    def reader(span: tuple[float, float]) -> TokenReader:
        def draw_time() -> Tensor:
            return draw_timesteps(backbone.schedule.steps, span, 1, generator)

        return token_reader(backbone, latents, training.tokens, in_force, draw_time, generator)

    terms: list[tuple[float, Callable[[], Tensor]]] = []
    if settings.cycle_weight:
        terms.append((settings.cycle_weight, cycle_term(reader(settings.timesteps))))
    if settings.mask_weight:
        terms.append((settings.mask_weight, mask_term(reader(MIDDLE), [one.concepts for one in task.sources])))
    if settings.adaptive_rate:
        adaptive = _adaptive_weights(task, training, reader(settings.timesteps))
        terms.append((1.0, adaptive.term))
        training = _that_keeps(training, adaptive)

    def joined(phase: Phase) -> Phase:
        def loss_of(step: int) -> Tensor:
            loss = phase.loss_of(step)
            for weight, term in terms:
                loss = loss + weight * term()
            return loss

        return replace(phase, loss_of=loss_of)

    return replace(training, phases=[joined(phase) if phase.trains_tokens else phase for phase in training.phases])


def _adaptive_weights(task: Task[S], training: Training, reader: TokenReader) -> AdaptiveWeights:
    """The rate is that of the whole training, divided by the losses of each picture (several for an update in parts),
    so that longer ones do not push further. Raises ``ValueError`` for a single picture."""
    if len(task.sources) < 2:
        raise ValueError("adaptive_rate weighs pictures against one another; give two or more, or set it to 0")
    updates = sum(phase.loop.steps * phase.loop.parts for phase in training.phases if phase.trains_tokens)
    sizes = [(latent.shape[-2], latent.shape[-1]) for latent in reader.latents]
    masks = [fit(one.concepts.masks.clone().float(), size) for one, size in zip(task.sources, sizes, strict=True)]
    return AdaptiveWeights(reader, masks, task.draws, task.settings.adaptive_rate * len(masks) / updates)


def _that_keeps(training: Training, adaptive: AdaptiveWeights) -> Training:
    """The training that keeps the state of adaptive weights, too, and says at the end what they became."""

    def restore(updates: int, hidden: Mapping[str, Tensor]) -> None:
        adaptive.check(hidden)
        training.restore(updates, {name: hidden[name] for name in hidden if name not in adaptive.hidden()})
        adaptive.restore(hidden)

    def notes() -> dict[str, str]:
        weights = [round(weight, 4) for weight in adaptive.weights.tolist()]
        return {**training.notes(), "picture_weights": json.dumps(weights)}

    return replace(training, hidden=lambda: {**training.hidden(), **adaptive.hidden()}, restore=restore, notes=notes)


def _check_names(task: Task[S]) -> None:
    for said, given in (("initial words", task.words), ("class words", task.classes)):
        unknown = sorted(set(given or {}) - set(task.concepts.names))
        if unknown:
            raise ValueError(f"{said} for {listed(unknown)}, but the concepts are {listed(task.concepts.names)}")


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().float().cpu().clone()


def _ends(losses: Tensor) -> dict[str, str]:
    tenth = max(len(losses) // 10, 1)
    return {"loss_first": f"{losses[:tenth].mean():.6g}", "loss_last": f"{losses[-tenth:].mean():.6g}"}
