"""ConES: search the encoded text itself, then fit a token to what was found.

"ConES: Concept Embedding Search for Parameter Efficient Tuning Large Vision Language Models", 2023, arXiv 2305.18993.
The conditioning c of "a photo of <v>" is optimised, ``min_c |noise - predicted(z_t, t, c)|^2`` inside the concept's
mask, which takes no pass through the text encoder. The result has no place in an embedding file, and does not mix
with the words of a new sentence; so a token is fitted to it, ``min_v |encode(v) - c|^2``, which takes no pass through
the denoiser. A token cannot express all that a search can find: in several rounds, each search goes on from the
encoding of the last token. The paper's details are not public: settings, pull, clamp, rounds and the way back are ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ...backbone import Backbone, Conditioning
from ...messages import shown
from ...settings import setting
from ...types import Concepts
from ..engine.loop import LoopSettings, optimise
from ..engine.method import Method
from ..engine.settings import LearnSettings
from ..engine.task import Phase, Task, Training
from ..engine.trainee import Trainee, start_trainee
from ..parts.examples import check, prepare_all
from ..parts.losses import masked_denoising
from ..parts.prompts import encode_together, singles


@dataclass(frozen=True, kw_only=True)
class ConesSettings(LearnSettings):
    """How to search. Each field's help is in its metadata; ``steps`` and ``rate`` are the search's.

    Raises ``ValueError`` for values outside their range.
    """

    steps: int = setting(300, "Steps of the search, in all rounds together.")
    rate: float = setting(5e-3, "Learning rate of the search, in the scale of encoded text.")
    weight_decay: float = setting(0.0, "Weight decay of the searched encoding (AdamW); pull works better.")
    rows: Literal["token", "tail"] = setting(
        "tail",
        "Rows to search: the token's own, or all from there on, padding included, which carries much of a concept.",
    )
    pull: float = setting(1e-3, "Weight of the squared distance to the encoding that the search starts from.")
    fit_steps: int = setting(200, "Steps of fitting the token, in all rounds together.")
    fit_rate: float = setting(5e-3, "Learning rate of fitting, in the scale of the token table.")
    rounds: int = setting(
        1,
        "How often search and fit alternate, at most once a step; a search goes on from the last encoding.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rows not in ("token", "tail"):
            raise ValueError(f"rows must be token or tail, got {shown(self.rows)}")
        if not self.pull >= 0:
            raise ValueError(f"pull must be 0 or more, got {self.pull}")
        if self.rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {self.rounds}")
        _ = self.fit  # checks fit_steps and fit_rate

    @property
    def cost(self) -> str:
        return f"{self.steps} N passes, and {self.fit_steps} updates that need the text encoder alone"

    @property
    def fit(self) -> LoopSettings:
        """How the token is fitted: its rate falls to a tenth, so that it settles."""
        return replace(self.loop, steps=self.fit_steps, rate=self.fit_rate, final_rate=0.1, patience=0)


def search(
    backbone: Backbone,
    picture: Tensor,
    concepts: Concepts,
    settings: ConesSettings | None = None,
    *,
    words: Mapping[str, str] | None = None,
    seed: int = 0,
) -> dict[str, Conditioning]:
    """The encodings alone: concept name to the conditioning (1, L, D) of the template's sentence with it.

    Each draws its concept as it is; it belongs to this model and cannot be put into another sentence. Args and errors
    as for :meth:`..engine.method.Method.learn`.
    """
    task = Task("cones", backbone, picture, concepts, settings or METHOD.preset("paper"), words, None, seed)
    check(picture, concepts)
    with torch.inference_mode(False), torch.enable_grad():
        found = Search(task, torch.Generator().manual_seed(seed))
        optimise([found.rows], found.denoising, task.settings.loop)
        with torch.no_grad():
            whole = found.conditioning()
        return {name: whole.row(i) for i, name in enumerate(concepts.names)}


class Search:
    """Encoded sentences, one per concept, some of whose rows are searched.

    Attributes:
        trainee: the model, and the token that each sentence starts with.
        pictures: what is denoised.
        start: the encoding that the search of this round starts from.
        rows: (N, L, D), the leaf that is optimised; only free rows count.
    """

    def __init__(self, task: Task[ConesSettings], generator: torch.Generator, trainee: Trainee | None = None) -> None:
        """The search of a task; ``trainee`` holds the tokens to fit where another method made them."""
        self.settings, self.generator, self.draws = task.settings, generator, task.draws
        self.pictures = prepare_all(task.backbone, task.sources, self.settings.flip > 0)
        self.trainee = trainee or start_trainee(task, generator, self.pictures.straight[0].latent)
        self.prompts = singles(task.concepts.names, self.settings.template)
        with torch.no_grad():
            self.start = self._encode()
        self.free = self._free_rows()
        self.longest = self.start.context.norm(dim=-1).max()  # a scalar
        self.rows = self.start.context.clone().requires_grad_()

    def conditioning(self) -> Conditioning:
        """The sentences as searched so far; no row is longer than the longest that the search started with."""
        shorten = (self.longest / self.rows.norm(dim=-1, keepdim=True).clamp_min(1e-6)).clamp_max(1)  # (N, L, 1)
        return replace(self.start, context=torch.where(self.free, self.rows * shorten, self.start.context))

    def restart(self) -> None:
        """Begin a round with the encoding of the tokens as they are now."""
        with torch.no_grad():
            self.start = self._encode()
            self.rows.copy_(self.start.context)

    def hidden(self) -> dict[str, Tensor]:
        """What this round started from, for :meth:`restore`."""
        return {"context": self.start.context, **self.start.extras}

    def restore(self, hidden: Mapping[str, Tensor]) -> None:
        """Put that back; the rows have their values already."""
        extras = {key: hidden[key].to(value) for key, value in self.start.extras.items()}
        self.start = Conditioning(hidden["context"].to(self.start.context), extras)

    def denoising(self, step: int) -> Tensor:
        """The loss of a search step: ``L_rec + pull |c - c_0|^2``, means over elements.

        The first step of a round starts it from the encoding of the tokens.
        """
        if step == 0:
            self.restart()
        conditioning = self.conditioning()
        example = self.pictures.example(*self.pictures.draw(self.settings.flip, self.generator, self.draws))
        latents = example.latent.expand(len(self.prompts), -1, -1, -1)  # (N, C, h, w)
        denoised = self.trainee.denoise(latents, conditioning=conditioning)
        masks = torch.stack([example.union(prompt.members) for prompt in self.prompts])  # (N, h, w)
        loss = masked_denoising(denoised.target, denoised.predicted, masks).mean()
        return loss + self.settings.pull * self._distance(conditioning.context, self.start.context)

    def fitting(self, step: int) -> Tensor:
        """The loss of a fitting step: the mean square by which the token's rows miss those searched."""
        return self._distance(self._encode().context, self.conditioning().context.detach())

    def cosine(self) -> float:
        """Between the rows of the token as it is now and those searched."""
        with torch.no_grad():
            ours, theirs = self._encode().context, self.conditioning().context
        return float(F.cosine_similarity(ours, theirs, dim=-1)[self.free[..., 0]].mean())  # (N, L) to (free rows,)

    def phases(self) -> list[Phase]:
        """Search and fit in turns."""
        settings, phases = self.settings, list[Phase]()
        rounds = min(settings.rounds, settings.steps, settings.fit_steps)
        for number in range(rounds):
            steps, fit_steps = (_share(whole, rounds, number) for whole in (settings.steps, settings.fit_steps))
            loop = replace(settings.loop, steps=steps)
            phases.append(Phase([self.rows], self.denoising, loop, trains_tokens=False))
            phases.append(self.trainee.phase(self.fitting, replace(settings.fit, steps=fit_steps)))
        return phases

    def notes(self) -> dict[str, str]:
        """Metadata: how near the fitted tokens come to what was searched."""
        return {"fit_cosine": f"{self.cosine():.4f}"}

    def _encode(self) -> Conditioning:
        placeholders = self.trainee.bank.placeholders()
        return encode_together(self.trainee.backbone, [prompt.text for prompt in self.prompts], placeholders)

    def _distance(self, one: Tensor, other: Tensor) -> Tensor:
        return (one - other).square().mean(-1)[self.free[..., 0]].mean()  # (N, L, D) to (free rows,)

    def _free_rows(self) -> Tensor:
        """(N, L, 1) bool."""
        if self.start.one_text:
            return self._rows_that_read_the_token()
        free = torch.zeros(*self.start.context.shape[:2], 1, dtype=torch.bool, device=self.start.context.device)
        backbone, placeholders = self.trainee.backbone, self.trainee.bank.placeholders()
        for row, prompt in enumerate(self.prompts):
            ((_, positions),) = self.trainee.spots([prompt])
            for span in backbone.tokenize(prompt.text, placeholders).spans:
                own = [position for position in positions if position in span]
                free[row, own[0] : span.stop if self.settings.rows == "tail" else own[-1] + 1] = True
        return free

    @torch.no_grad()
    def _rows_that_read_the_token(self) -> Tensor:
        """The same for a model whose pictures read an adapter's rows, in whose places the encoded ones do not lie.

        Of the encoded rows those from the first that another token changes; as many as the token has vectors, or all
        behind.
        """
        bank = self.trainee.bank.placeholders()
        zero = {mark: {name: torch.zeros_like(rows) for name, rows in of.items()} for mark, of in bank.items()}
        other = encode_together(self.trainee.backbone, [prompt.text for prompt in self.prompts], zero)
        read = (other.context != self.start.context).any(-1)  # (N, L)
        rows = torch.arange(read.shape[1], device=read.device)
        first = read.float().argmax(1, keepdim=True)  # (N, 1)
        count = max(len(rows) for of in bank.values() for rows in of.values())
        behind = rows >= first
        return (behind if self.settings.rows == "tail" else behind & (rows < first + count))[..., None]


def _prepare(task: Task[ConesSettings], generator: torch.Generator) -> Training:
    found = Search(task, generator)
    return found.trainee.training(
        found.phases(),
        notes=found.notes,
        hidden=found.hidden,
        restore=lambda updates, hidden: found.restore(hidden),
    )


def _share(steps: int, rounds: int, number: int) -> int:
    """Steps of one round; the first rounds make one more where they cannot be dealt out evenly."""
    return steps // rounds + (number < steps % rounds)


METHOD = Method(
    name="cones",
    title="ConES",
    help="Takes turns: changes the encoded text of each concept directly, then fits a token to the result.",
    presets={
        "paper": ConesSettings(),
        "small": ConesSettings(steps=100, rate=5e-2, timesteps=(0.2, 0.7), fit_steps=150, rounds=10),
    },
    prepare=_prepare,
    note="Details that the paper does not give are ours. The loss curve alternates between search and fit. The "
    "metadata's fit_cosine is the mean cosine between the encoding of the token and the searched one; 1 is exact. "
    "class_weight concerns the fit.",
)
"""Presets: ``paper`` for latents of 64x64, untested; ``small`` for the lab model."""
