"""``bench words``: how well heat maps of words fit scenes whose masks are known, for names, colours, styles and
backgrounds.

A picture is shown to the model through one noised pass, or some, with its caption. Of each word's map these masks are
scored: where it exceeds 0.4 of its range (as DAAM, arXiv 2210.04885, does), Otsu's threshold, its own mean (as
ConceptAttention, arXiv 2502.04320, does), and, as a ceiling, the best of these and twenty more. The pointing game
counts maps whose largest value lies on the mask. ``--deletion`` paints over what a name's map shows and asks the judge
whether the object is gone, beside a region of the same shape elsewhere. ``--sweep`` scores the maps of names of every
layer by itself at several shares of noise.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from ...core.attention.maps import AttentionMaps
from ...core.attention.record import AttentionRecorder
from ...core.attention.selection import Selection
from ...core.attention.stretch import stretched
from ...core.attribute.agreement import regions_of
from ...core.attribute.compare import ATTENTION, BOTH, INFORMATION, Reading, ReadingSettings, word_maps
from ...core.attribute.concept_attention import ConceptBackbone, ConceptSettings, concept_heatmaps
from ...core.attribute.heatmap import word_heatmaps
from ...core.attribute.read_picture import read_picture
from ...core.backbone import AttentionSite, Backbone
from ...host.shared.families import FAMILIES
from ...lab.judge.judge import Judge, load_judge
from ..command import add_common_arguments, backbone_for, run_command
from ..controls import Control
from ..drawing import SIDE
from ..harness import Bench, Request, Row
from ..metrics import iou_matrix
from ..summary import aligned, interval, sweep_table, with_interval
from .cases import CAPTIONS, KINDS, Word, WordCase, clear_words, make_word_case
from .deletion import DELETED, deletion
from .information import SHARES, alone_maps, redundancy, shared_information

CONCEPTS, ALONE = "concepts", "alone"
MAPS = (ATTENTION, INFORMATION, BOTH, CONCEPTS, ALONE)
NOISES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of noise of a sweep."""

NOISE, DRAWS, LEVELS = 0.5, 4, 25
ABOVE = 0.4
"""Of its range, above which DAAM counts a map."""

SCORES = {
    "iou": "above 0.4 of its range",
    "iou_otsu": "above Otsu's threshold",
    "iou_mean": "above its mean",
    "iou_best": "best threshold",
    "point": "pointing game",
}
SHUFFLED = "another scene's masks"

Settings = Mapping[str, Any]


def measure(prepared: tuple[Backbone, Judge | None], request: Request, index: int) -> Row:
    """One scene: seed, caption, number of objects, background, and by setting and kind the scores of each word."""
    backbone, judge = prepared
    case = make_word_case(request.split, index, request.seed, request.options.get("caption", CAPTIONS[0]))
    words = clear_words(case.words, backbone.tokenize(case.caption))
    if request.options.get("sweep"):
        words = tuple(word for word in words if word.kind == "name")
    other = make_word_case(request.split, index + len(KINDS), request.seed).words
    read = maps_of(backbone, case, words, request.options)
    found = {setting: _by_kind(words, maps, other) for setting, maps in read.items()}
    if judge is not None:
        names = [number for number, word in enumerate(words) if word.kind == "name"]
        for number, entry in zip(names, found["all"]["name"], strict=True):
            entry |= deletion(judge, case.picture, words[number].text, read["all"][number])
    asked = ("seed", "caption", "objects", "background")
    row: Row = {name: getattr(case, name) for name in asked} | {"scores": found}
    if request.options.get("redundancy"):
        row["redundancy"] = redundancy(backbone, case, request.options.get("levels", LEVELS))
    return row


@torch.no_grad()
def maps_of(backbone: Backbone, case: WordCase, words: Sequence[Word], options: Settings) -> dict[str, Tensor]:
    """Maps (N, H, W) of N words by setting: ``all`` for the layers and noise asked for, and in a sweep
    ``<layer> at <noise>``, among whose layers ``all`` stands for every one together."""
    latent = backbone.encode_image(case.picture)
    noises = NOISES if options.get("sweep") else (options.get("noise", NOISE),)
    found, kind = {}, options.get("maps", ATTENTION)
    for noise in noises:
        if kind == CONCEPTS:
            for layer, sites in (_layers(backbone) if options.get("sweep") else {"all": None}).items():
                found[f"{layer} at {noise:g}"] = _concept_maps(backbone, case, latent, words, noise, sites)
            continue
        if kind == ALONE:
            found |= {f"all at {noise:g}": alone_maps(backbone, case, latent, words, options.get("levels", LEVELS))}
            continue
        if kind != ATTENTION or not options.get("sweep"):
            settings = ReadingSettings(noise, DRAWS, options.get("levels", LEVELS))
            reading = Reading(backbone, latent, case.caption, (SIDE, SIDE), settings, seed=case.seed)
            found |= {f"all at {noise:g}": word_maps(reading, [word.text for word in words], [kind])[0]}
            continue
        for layer, maps in _recorded(backbone, case, latent, noise).items():
            text = backbone.tokenize(case.caption)
            heat = word_heatmaps(maps, text, [word.text for word in words], (SIDE, SIDE))
            found[f"{layer} at {noise:g}"] = heat[:, 0].cpu()
    return found if options.get("sweep") else {"all": next(iter(found.values()))}


def _recorded(backbone: Backbone, case: WordCase, latent: Tensor, noise: float) -> dict[str, AttentionMaps]:
    """What each layer attends to, and ``all`` of them."""
    layers = {name: tuple(site.name for site in sites) for name, sites in _layers(backbone).items()}
    recorders = {name: AttentionRecorder(Selection(("cross",), sites=sites)) for name, sites in layers.items()}
    listening = list(recorders.values())
    read_picture(backbone, latent, case.caption, listening, noise=noise, draws=DRAWS, seed=case.seed)
    return {name: recorder.maps() for name, recorder in recorders.items()}


def _layers(backbone: Backbone) -> dict[str, tuple[AttentionSite, ...]]:
    """Each layer that reads text, and ``all`` of them."""
    sites = tuple(site for site in backbone.attention_sites() if site.reads("cross"))
    return {"all": sites} | {site.name: (site,) for site in sites}


def _concept_maps(
    backbone: Backbone,
    case: WordCase,
    latent: Tensor,
    words: Sequence[Word],
    noise: float,
    sites: Sequence[AttentionSite] | None,
) -> Tensor:
    """Maps of the same words as concepts; those of a kind are compared with one another and the background's words."""
    behind = [word.text for word in case.words if word.kind == "background"]
    found: dict[int, Tensor] = {}
    for kind in KINDS:
        chosen = [number for number, word in enumerate(words) if word.kind == kind]
        rest = [word.text for word in words if word.kind == "name"] if kind == "background" else behind
        asked = [words[number].text for number in chosen]
        if not chosen:
            continue
        settings = ConceptSettings(noise, DRAWS)
        able = cast(ConceptBackbone, backbone)
        maps = concept_heatmaps(able, latent, case.caption, [*asked, *rest], settings, sites=sites, seed=case.seed)
        size = {"size": (SIDE, SIDE), "mode": "bilinear", "align_corners": False}
        sized = torch.nn.functional.interpolate(maps[None].cpu(), **size)[0]  # type: ignore[arg-type]
        found |= dict(zip(chosen, sized[: len(chosen)], strict=True))
    return torch.stack([found[number] for number in range(len(words))])


def _by_kind(words: Sequence[Word], maps: Tensor, other: Sequence[Word]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for word, heat in zip(words, maps, strict=True):
        strange = next(one.mask for one in other if one.kind == word.kind)
        found.setdefault(word.kind, []).append({"word": word.text, **score_map(heat, word.mask, strange)})
    return found


def score_map(heat: Tensor, mask: Tensor, strange: Tensor) -> dict[str, float]:
    """Scores, to four digits, of a map (H, W) against the mask (H, W) of its word, and ``shuffled`` against that of
    another scene."""
    level = stretched(heat[None])[0]  # 0..1
    limits = torch.linspace(0, 1, 22)[1:-1]
    masks = [level > ABOVE, regions_of(heat[None])[0], heat > heat.mean(), *(level > limit for limit in limits)]
    found = torch.stack(masks)
    ious = iou_matrix(found, mask[None])[:, 0].tolist()
    shuffled = iou_matrix(found[:1], strange[None]).item()
    point = float(mask.flatten()[heat.argmax()])
    scores = {"iou": ious[0], "iou_otsu": ious[1], "iou_mean": ious[2], "iou_best": max(ious)}
    scores |= {"point": point, "shuffled": shuffled}
    return {name: round(score, 4) for name, score in scores.items()}


def figures(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Setting to kind to how many words, and each score's mean over them with an interval."""
    found: dict[str, Any] = {}
    for setting in rows[0]["scores"]:
        found[setting] = {}
        for kind in KINDS:
            scored = [entry for row in rows for entry in row["scores"][setting].get(kind, ())]
            if scored:
                values = {
                    name: interval([entry[name] for entry in scored], request.seed) for name in (*SCORES, "shuffled")
                }
                for name in DELETED:
                    seen = [entry[name] for entry in scored if entry.get(name) is not None]
                    values |= {name: interval(seen, request.seed)} if seen else {}
                found[setting][kind] = {"words": len(scored), **values}
    return found | shared_information(rows, request.seed)


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    options, summary = result["options"], result["summary"]
    read = (
        f"{result['cases']} {result['split']} scenes, seed {result['seed']}, maps of {options.get('maps', ATTENTION)}"
    )
    read += f", {options.get('caption', CAPTIONS[0])} captions"
    if options.get("sweep"):
        means = {at: found["name"]["iou"]["mean"] if "name" in found else None for at, found in summary.items()}
        return f"bench words: {read}; names, mean IoU {SCORES['iou']}\n{sweep_table(means)}\n"
    head = ["", "words", *SCORES.values(), SHUFFLED]
    body = [
        [kind, str(found["words"]), *(with_interval(found[name]) for name in (*SCORES, "shuffled"))]
        for kind, found in summary["all"].items()
    ]
    noise, name = options.get("noise", NOISE), summary["all"].get("name", {})
    deleted = ", ".join(f"{says} {with_interval(name[key])}" for key, says in DELETED.items() if key in name)
    said = f"deletion: {deleted}\n" if deleted else ""
    shares = summary.get("redundancy", {})
    said += "".join(f"{says}: {with_interval(shares[key])}\n" for key, says in SHARES.items() if key in shares)
    return f"bench words: {read}, noise {noise:g}; mean IoU, 95% intervals\n{aligned([head, *body])}\n{said}"


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Mean IoU by kind; of a sweep the best setting for names."""
    if "all" in summary:
        return {kind: {name: found[name]["mean"] for name in SCORES} for kind, found in summary["all"].items()}
    best = max(summary, key=lambda setting: summary[setting]["name"]["iou"]["mean"])
    return {"best": best, "name": summary[best]["name"]["iou"]["mean"]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench words``; multiples of 6 cases are balanced over counts and backgrounds."""
    add_common_arguments(parser, cases=60)
    parser.add_argument("--noise", type=float, default=NOISE, help="share of noise, 0 to 1 (default: %(default)s)")
    parser.add_argument(
        "--sweep", action="store_true", help="names alone, of every layer by itself, at several shares of noise"
    )
    parser.add_argument(
        "--maps",
        choices=MAPS,
        default=MAPS[0],
        help="attention (DAAM), information (DiffusionPID), both: their mean, alone: information of the word without "
        "the rest of the caption, or concepts: ConceptAttention, of transformers alone (default: %(default)s)",
    )
    parser.add_argument(
        "--levels", type=int, default=LEVELS, help="levels of noise of information (default: %(default)s)"
    )
    parser.add_argument(
        "--caption", choices=CAPTIONS, default=CAPTIONS[0], help="short: names alone (default: %(default)s)"
    )
    parser.add_argument(
        "--deletion", action="store_true", help="paint over what maps of names show: does the judge lose the object?"
    )
    parser.add_argument(
        "--redundancy",
        action="store_true",
        help="which share of what a name tells a synonym tells, too",
    )


def main(args: argparse.Namespace) -> int:
    """Run the command and print its tables; returns the exit status."""
    if not 0 <= args.noise <= 1:
        raise ValueError(f"--noise is a share of noise, 0 to 1, got {args.noise:g}")
    options: dict[str, Any] = {"noise": args.noise}
    if args.sweep:
        options = {"sweep": True}
        for name in ("controls", "deletion", "redundancy"):
            if getattr(args, name):
                raise ValueError(f"a sweep measures names alone, without --{name}; run that without --sweep")
    if args.maps != MAPS[0]:
        options["maps"] = args.maps
    if args.maps in (INFORMATION, BOTH, ALONE) or args.redundancy:
        options["levels"] = args.levels
    if args.caption != CAPTIONS[0]:
        options["caption"] = args.caption
    options |= {name: True for name in ("deletion", "redundancy") if getattr(args, name)}
    return run_command(BENCH, args, options, CONTROLS)


def prepare(request: Request) -> tuple[Backbone, Judge | None]:
    """The model that is asked for, and the judge where it is. Raises ``ValueError`` for maps of concepts on a model
    beside which none run."""
    backbone = backbone_for(request)
    if request.options.get("maps") == CONCEPTS and FAMILIES[backbone.family].transformer is None:
        raise ValueError("maps of concepts need a transformer: add --model transformer")
    return backbone, load_judge() if request.options.get("deletion") else None


CONTROLS = (
    Control(
        "untrained",
        "heat maps of names by a model at random weights",
        lambda summary: float(summary["all"]["name"]["iou"]["mean"]),
        0.25,
        untrained=True,
    ),
    Control(
        "shuffled",
        "heat maps of names against the masks of another scene",
        lambda summary: float(summary["all"]["name"]["shuffled"]["mean"]),
        0.3,
    ),
)

BENCH = Bench("words", 2, prepare, measure, figures, table, headline)
