"""The cases of ``bench compose``, and objects that are learnt from pictures before they are asked for."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from ...core.backbone import Backbone
from ...core.files import load_embeddings, save_embedding
from ...core.learn.registry import METHODS
from ...core.types import ConceptTokens
from ...lab.judge.judge import Judge
from ...lab.world.atlas import load_atlas
from ..cases import Case, composed_case
from ..drawing import SIDE
from ..harness import Request, digest_of
from ..learn.learn import on_cells, true_concepts
from .cases import BOXES, TILES, Wanted, in_a_style, wanted

TOGETHER, APART = "conceptexpress", "attencraft"
"""How the objects of one picture are learnt, and each object with a change of the model from a picture of its own."""


@dataclass(frozen=True, eq=False)
class Source:
    """An object as it was learnt: a picture (1, 3, H, W) in 0..1, and the object's mask (H, W) bool in it."""

    picture: Tensor
    mask: Tensor

    def described(self, judge: Judge) -> Tensor:
        """(D,) unit vector by which the judge says how alike things are."""
        return judge.look(self.picture).describe(on_cells(self.mask[None]))[0]


@dataclass(frozen=True, eq=False)
class Asked:
    """A case: its objects together, one object alone, and from what each was learnt; no sources for names."""

    several: Wanted
    one: Wanted
    sources: tuple[Source, ...] = ()


def asked_for(backbone: Backbone, request: Request, index: int, seed: int, kept: Path | None = None) -> Asked:
    """The index-th case of a request; ``seed`` is the case's own, of what is learnt. Tokens that ways of composing
    share are kept in a folder, if one is given."""
    options = request.options
    alike, loras = bool(options.get("alike")), bool(options.get("loras"))
    shape = options.get("boxes", TILES)
    several, one = wanted(request.split, request.seed, index, alike, pair=loras, shape=shape)
    if options.get("learnt"):
        folder = None if kept is None else kept / digest_of([[kind.name for kind in several.kinds], seed], request)
        return learnt(backbone, several, seed, folder)
    if loras:
        return learnt_apart(backbone, several, seed)
    if options.get("styled"):
        several = in_a_style(several, request.split, request.seed, index)
        one = replace(one, colours=(None,), whole=several.whole)
    return Asked(several, one)


def learnt(backbone: Backbone, asked: Wanted, seed: int, folder: Path | None = None) -> Asked:
    """The case with a token for each object in place of its name, learnt from one picture of all of them in its own
    colours (ConceptExpress, ``small``, true masks), or read from a folder; and the first of them alone."""
    rng = random.Random(f"compose learnt:{seed}")
    case = composed_case(rng, asked.kinds, _plain_style(len(asked.kinds)), seed, (SIDE, SIDE))
    concepts, order = true_concepts(backbone, case)
    tokens = _read(folder, concepts.names, backbone)
    if tokens is None:
        method = METHODS[TOGETHER]
        tokens = method.learn(backbone, case.picture, concepts, method.preset("small"), seed=seed)
        _keep(folder, tokens)
    by_kind = {case.names[number]: name for name, number in zip(concepts.names, order, strict=True)}
    names = tuple(f"<{by_kind[kind.name]}>" for kind in asked.kinds)
    sources = tuple(_source(case, kind.name) for kind in asked.kinds)
    return _by_tokens(replace(asked, tokens=names, placeholders=tokens.placeholders()), sources)


def _read(folder: Path | None, names: Sequence[str], backbone: Backbone) -> ConceptTokens | None:
    """Tokens of a folder, one file for each name; None unless all are there."""
    paths = [] if folder is None else [folder / f"{name}.safetensors" for name in names]
    if not paths or not all(path.is_file() for path in paths):
        return None
    return load_embeddings(paths, backbone.text_widths, backbone.family)


def _keep(folder: Path | None, tokens: ConceptTokens) -> None:
    """Write tokens as one file each, for :func:`_read`."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in tokens.names:
            save_embedding(folder / f"{name}.safetensors", tokens, name)


def learnt_apart(backbone: Backbone, asked: Wanted, seed: int) -> Asked:
    """As :func:`learnt`, but each object is learnt from a picture of its own, and with its token a change of the model
    (AttenCraft, ``small``, true masks)."""
    method, names, placeholders, adapters, sources = METHODS[APART], [], {}, [], []
    for number, kind in enumerate(asked.kinds, 1):
        rng = random.Random(f"compose loras:{seed}:{number}")
        case = composed_case(rng, [kind], _plain_style(1), seed, (SIDE, SIDE))
        concepts, _ = true_concepts(backbone, case)
        tokens = method.learn(backbone, case.picture, concepts, method.preset("small"), seed=seed)
        names.append(f"<{number}>")
        placeholders[names[-1]] = tokens.vectors[concepts.names[0]]
        adapters.append(tokens.adapter)
        sources.append(_source(case, kind.name))
    several = replace(asked, tokens=tuple(names), placeholders=placeholders, adapters=tuple(adapters))
    return _by_tokens(several, tuple(sources))


def _by_tokens(asked: Wanted, sources: tuple[Source, ...]) -> Asked:
    """Objects that are asked for by tokens, which say nothing of colours, and the first of them alone."""
    several = replace(asked, colours=(None,) * len(asked.kinds))
    one = replace(
        several,
        kinds=asked.kinds[:1],
        colours=(None,),
        boxes=BOXES[1][0],
        tokens=asked.tokens[:1],
        adapters=asked.adapters[:1],
    )
    return Asked(several, one, sources)


def _plain_style(count: int) -> Sequence[str]:
    return [load_atlas().styles[0]] * count


def _source(case: Case, name: str) -> Source:
    return Source(case.picture, case.masks[case.names.index(name)])
