"""``bench words``: how well heat maps of words fit scenes whose masks are known, for names, colours, styles and
backgrounds.

A picture is shown to the model through one noised pass, or some, with its caption. Of each word's map three masks are
scored: where it exceeds 0.4 of its range (as DAAM, arXiv 2210.04885, does), where it exceeds its own mean (as
ConceptAttention, arXiv 2502.04320, does), and, as a ceiling, where it exceeds the best of these and twenty more.
``--sweep`` scores the maps of names of every layer by itself at several shares of noise.
"""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, cast

import torch
from torch import Tensor

from ..core.attention.maps import AttentionMaps
from ..core.attention.record import AttentionRecorder
from ..core.attention.selection import Selection
from ..core.attention.stretch import stretched
from ..core.attribute.concept_attention import ConceptBackbone, ConceptSettings, concept_heatmaps
from ..core.attribute.heatmap import word_heatmaps
from ..core.backbone import Backbone
from ..core.schedule import timestep_of_noise
from ..host.shared.families import FAMILIES
from .command import add_common_arguments, backbone_for, run_command
from .controls import Control
from .drawing import SIDE
from .harness import Bench, Request, Row
from .metrics import iou_matrix
from .summary import aligned, interval, sweep_table, with_interval
from .word_cases import KINDS, Word, WordCase, clear_words, make_word_case

MAPS = ("words", "concepts")
NOISES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of noise of a sweep."""

NOISE, DRAWS = 0.5, 4
ABOVE = 0.4
"""Of its range, above which DAAM counts a map."""

SCORES = {"iou": "above 0.4 of its range", "iou_mean": "above its mean", "iou_best": "best threshold"}
SHUFFLED = "another scene's masks"

Settings = Mapping[str, Any]


def measure(backbone: Backbone, request: Request, index: int) -> Row:
    """One scene: seed, caption, number of objects, background, and by setting and kind the scores of each word."""
    case = make_word_case(request.split, index, request.seed)
    words = clear_words(case.words, backbone.tokenize(case.caption))
    if request.options.get("sweep"):
        words = tuple(word for word in words if word.kind == "name")
    other = make_word_case(request.split, index + len(KINDS), request.seed).words
    found = {
        setting: _by_kind(words, maps, other)
        for setting, maps in maps_of(backbone, case, words, request.options).items()
    }
    return {
        "seed": case.seed,
        "caption": case.caption,
        "objects": case.objects,
        "background": case.background,
        "scores": found,
    }


@torch.no_grad()
def maps_of(backbone: Backbone, case: WordCase, words: Sequence[Word], options: Settings) -> dict[str, Tensor]:
    """Maps (N, H, W) of N words by setting: ``all`` for the layers and noise asked for, and in a sweep
    ``<layer> at <noise>``, among whose layers ``all`` stands for every one together."""
    latent = backbone.encode_image(case.picture)
    noises = NOISES if options.get("sweep") else (options.get("noise", NOISE),)
    found = {}
    for noise in noises:
        if options.get("maps", "words") == "concepts":
            found |= {f"all at {noise:g}": _concept_maps(backbone, case, latent, words, noise)}
            continue
        for layer, maps in _recorded(backbone, case, latent, noise, bool(options.get("sweep"))).items():
            text = backbone.tokenize(case.caption)
            heat = word_heatmaps(maps, text, [word.text for word in words], (SIDE, SIDE))
            found[f"{layer} at {noise:g}"] = heat[:, 0].cpu()
    return found if options.get("sweep") else {"all": next(iter(found.values()))}


def _recorded(backbone: Backbone, case: WordCase, latent: Tensor, noise: float, each: bool) -> dict[str, AttentionMaps]:
    """What each layer attends to, and ``all`` of them, or all alone."""
    default = {site.name for site in cast(ConceptBackbone, backbone).default_sites()}
    sites = [site for site in backbone.attention_sites() if site.reads("cross")]
    names = {"all": tuple(site.name for site in sites if each or site.name in default)}
    names |= {site.name: (site.name,) for site in sites} if each else {}
    recorders = {name: AttentionRecorder(Selection(("cross",), sites=layers)) for name, layers in names.items()}
    schedule, conditioning = backbone.schedule, backbone.encode_text([case.caption])
    timestep = timestep_of_noise(schedule, noise).to(latent.device)
    generator = torch.Generator().manual_seed(case.seed)
    with ExitStack() as stack:
        for recorder in recorders.values():
            stack.enter_context(recorder.recording(backbone))
        for _ in range(DRAWS):
            drawn = torch.randn(latent.shape, generator=generator).to(latent)
            backbone.predict_noise(schedule.add_noise(latent, drawn, timestep), timestep, conditioning)
    return {name: recorder.maps() for name, recorder in recorders.items()}


def _concept_maps(backbone: Backbone, case: WordCase, latent: Tensor, words: Sequence[Word], noise: float) -> Tensor:
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
        maps = concept_heatmaps(able, latent, case.caption, [*asked, *rest], settings, seed=case.seed)
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
    found = torch.stack([level > ABOVE, heat > heat.mean(), *(level > limit for limit in limits)])
    ious = iou_matrix(found, mask[None])[:, 0].tolist()
    shuffled = iou_matrix(found[:1], strange[None]).item()
    scores = {"iou": ious[0], "iou_mean": ious[1], "iou_best": max(ious), "shuffled": shuffled}
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
                found[setting][kind] = {"words": len(scored), **values}
    return found


def table(result: Mapping[str, Any]) -> str:
    """The figures as text for a terminal."""
    options, summary = result["options"], result["summary"]
    read = f"{result['cases']} {result['split']} scenes, seed {result['seed']}, maps of {options.get('maps', 'words')}"
    if options.get("sweep"):
        means = {at: found["name"]["iou"]["mean"] if "name" in found else None for at, found in summary.items()}
        return f"bench words: {read}; names, mean IoU {SCORES['iou']}\n{sweep_table(means)}\n"
    head = ["", "words", *SCORES.values(), SHUFFLED]
    body = [
        [kind, str(found["words"]), *(with_interval(found[name]) for name in (*SCORES, "shuffled"))]
        for kind, found in summary["all"].items()
    ]
    noise = options.get("noise", NOISE)
    return f"bench words: {read}, noise {noise:g}; mean IoU, 95% intervals\n{aligned([head, *body])}\n"


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
        "--maps", choices=MAPS, default=MAPS[0], help="concepts: ConceptAttention, of transformers alone"
    )


def main(args: argparse.Namespace) -> int:
    """Run the command and print its tables; returns the exit status."""
    if not 0 <= args.noise <= 1:
        raise ValueError(f"--noise is a share of noise, 0 to 1, got {args.noise:g}")
    options: dict[str, Any] = {"noise": args.noise}
    if args.sweep:
        options = {"sweep": True}
        if args.controls:
            raise ValueError("a sweep has no controls; run them without --sweep")
    if args.maps != MAPS[0]:
        options["maps"] = args.maps
    return run_command(BENCH, args, options, CONTROLS)


def prepare(request: Request) -> Backbone:
    """The model that is asked for. Raises ``ValueError`` for maps of concepts on a model beside which none run."""
    backbone = backbone_for(request)
    if request.options.get("maps") == "concepts" and FAMILIES[backbone.family].transformer is None:
        raise ValueError("maps of concepts need a transformer: add --model transformer")
    return backbone


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

BENCH = Bench("words", 1, prepare, measure, figures, table, headline)
