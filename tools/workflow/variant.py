"""What distinguishes the models that example workflows are drawn for: files, sizes, settings and words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Knobs = Mapping[str, Any]


@dataclass(frozen=True)
class Ingredient:
    """The ingredient that workflows choose.

    Attributes:
        numbers: of it in the gallery, as nodes take them.
        called: what notes call it.
        word: for its thing.
        asked: two prompts by a word each, the first one's pictures show it; empty where nothing is drawn.
    """

    numbers: str
    called: str
    word: str
    asked: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Words:
    """What the pictures of a variant are about."""

    scene: str
    looked_up: str
    things: str
    exchanged: str
    new_scene: str
    together: str
    erased: str
    preserved: str
    before_after: Mapping[str, str]
    style: str
    style_anchor: str
    kept_beside_style: str
    in_styles: Mapping[str, str]
    attacked: str
    near: str
    others: str
    purified: str
    of_two_pictures: tuple[str, str]
    ground: str
    drawn: str
    judged: str
    judged_template: str
    wanted: str
    phrased: str
    phrase_weights: str
    tastes: str
    tuned: str
    masked: Ingredient
    steered: Ingredient
    compared: str


@dataclass(frozen=True)
class Checkpoint:
    """A file of the checkpoints folder, which holds MODEL, CLIP and VAE."""

    name: str


@dataclass(frozen=True)
class Parts:
    """A file for each part of a transformer.

    Attributes:
        family: of the model, as people call it.
        model, text_encoder, vae: names of files in ``diffusion_models``, ``text_encoders`` and ``vae``.
        kind: what Load CLIP has to read the text encoder as.
        shift: of the noise levels while sampling.
    """

    family: str
    model: str
    text_encoder: str
    kind: str
    vae: str
    shift: float


@dataclass(frozen=True)
class Variant:
    """For which model a workflow is drawn: its loader, sizes, settings and words.

    Attributes:
        suffix: of the workflow's name.
        files: what is loaded, None for the lab model.
        names: of the workflows that there are of this variant, as builders are called; None for all.
        side: of pictures, in pixels.
        batch: pictures a prompt.
        picture: where the picture that is taken apart comes from, for its note.
        note: the end of every workflow's first note.
        sizes: what other models of its kind take, for that note, which says where to set the size; empty says nothing.
        denoiser: of the lab model.
        compared: pictures that are drawn of one prompt where two models are compared.
        sampling, localize, localize_words, learn, learn_lora, score, erase, train_erasure, compose, compose_loras,
            attack, report, ingredients, audited, steer, repaint, guard, invert, purify, skill, graft: widget values
            that differ from the nodes' own; ``audited`` where ingredients are compared.
    """

    suffix: str
    files: Checkpoint | Parts | None
    side: int
    batch: int
    picture: str
    note: str
    words: Words
    sampling: Knobs
    localize: Knobs = field(default_factory=dict)
    localize_words: Knobs = field(default_factory=dict)
    learn: Knobs = field(default_factory=dict)
    learn_lora: Knobs = field(default_factory=dict)
    score: Knobs = field(default_factory=dict)
    erase: Knobs = field(default_factory=dict)
    train_erasure: Knobs = field(default_factory=dict)
    compose: Knobs = field(default_factory=dict)
    compose_loras: Knobs = field(default_factory=dict)
    attack: Knobs = field(default_factory=dict)
    report: Knobs = field(default_factory=dict)
    ingredients: Knobs = field(default_factory=dict)
    audited: Knobs = field(default_factory=dict)
    steer: Knobs = field(default_factory=dict)
    repaint: Knobs = field(default_factory=dict)
    guard: Knobs = field(default_factory=dict)
    invert: Knobs = field(default_factory=dict)
    purify: Knobs = field(default_factory=dict)
    skill: Knobs = field(default_factory=dict)
    graft: Knobs = field(default_factory=dict)
    compared: int = 16
    names: tuple[str, ...] | None = None
    denoiser: str = "unet"
    sizes: str = ""

    @property
    def is_lab(self) -> bool:
        return self.files is None

    def draws(self, name: str) -> bool:
        """Whether there is a workflow of this name, as its builder is called, for the variant."""
        return self.names is None or name in self.names
