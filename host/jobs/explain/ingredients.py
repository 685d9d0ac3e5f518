"""Ingredients for people: a gallery of what shows them most, names, and masks over pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ....core.explain.bank import ConceptBank, ConceptCodes
from ....core.explain.labels import FEW, Labels, Meanings, labels_of_words
from ....core.explain.locate import Place, best_places, concept_masks, disjoint, mean_features
from ....core.explain.map_grade import grade_map
from ....core.explain.naming import Name, likelihoods, nearest_names
from ....core.explain.recursion import said_of
from ....core.messages import counted, listed, plain, there_are
from ...pictures.drawing import colour_of, overlay_masks
from ...shared.progress import Progress
from ..contact_sheet import Caption, Row, contact_sheet
from ..paired_texts import word_features
from ..vision import picture_features

MOST_SHOWN = 32
"""More concepts than people can use (Ramaswamy et al. 2023, arXiv 2207.09615) are not shown."""
HALF = 0.5
NOTHING = "none of these pictures shows any of the ingredients; connect the pictures they were found in"


@dataclass(frozen=True, eq=False)
class Gallery:
    """What a gallery shows.

    Attributes:
        codes: of the pictures.
        places: of each concept shown, the squares that show it most.
        names: of each, or None where no names were asked for.
        labels: which pictures bear the good names, by the picture encoder; None where no names were asked for.
    """

    codes: ConceptCodes
    places: tuple[tuple[Place, ...], ...]
    names: tuple[Name, ...] | None = None
    labels: Labels | None = None

    def bank(self) -> ConceptBank:
        """The bank with good names in place of numbers."""
        good = {index: name.word for index, name in enumerate(self.names or ()) if name.good}
        return self.codes.bank.renamed(good)


def check_pictures(codes_pictures: int, pictures: Tensor) -> None:
    """Raises ``ValueError`` where activations and pictures are of different numbers."""
    if codes_pictures != len(pictures):
        raise ValueError(
            f"the activations are of {codes_pictures} pictures, and {len(pictures)} are connected; connect the "
            "pictures that Record Activations read"
        )


def make_gallery(codes: ConceptCodes, pictures: Tensor, each: int, shown: int = MOST_SHOWN) -> Gallery:
    """The squares that show each of the first concepts most, of pictures (P, 3, H, W)."""
    check_pictures(len(codes.values), pictures)
    size = (pictures.shape[-2], pictures.shape[-1])
    count = min(len(codes.bank), shown)
    return Gallery(codes, tuple(tuple(best_places(codes, index, size, each)) for index in range(count)))


def named(
    gallery: Gallery, pictures: Tensor, clip_vision: Any, clip: Any, words: Sequence[str], progress: Progress
) -> Gallery:
    """With names by the pictures' encoder and the text encoder that was trained with it.

    Args:
        words: what concepts may be called, at least two.

    Raises as :func:`word_features` does.
    """
    words = list(dict.fromkeys(words))
    shown, every = mean_crops(gallery, pictures, clip_vision)
    texts = word_features(clip_vision, clip, words, shown.shape[1], on_step=progress)
    whole = picture_features(clip_vision, pictures)
    scores = gallery.codes.scores()[:, : len(shown)]
    names = nearest_names(shown, every, whole, scores, words, texts)
    good = [word for word in words if any(name.good and name.word == word for name in names)]
    likely = likelihoods(whole, texts)[:, [words.index(word) for word in good]]  # (P, L)
    return Gallery(gallery.codes, gallery.places, names, labels_of_words(likely, tuple(good)))


def mean_crops(gallery: Gallery, pictures: Tensor, clip_vision: Any) -> tuple[Tensor, Tensor]:
    """(K, E) the mean features of each concept's squares, and (E,) that of all of them.

    Raises ``ValueError`` where no picture shows any concept.
    """
    features = [
        picture_features(clip_vision, torch.stack([place.cut(pictures) for place in places]))
        if places
        else torch.zeros(0, 0)
        for places in gallery.places
    ]
    if not any(len(one) for one in features):
        raise ValueError(NOTHING)
    shown, every = mean_features(features), torch.cat([one for one in features if len(one)]).mean(0)
    same = (shown - every).norm(dim=1, keepdim=True) == 0  # points nowhere: moved by a hair
    return torch.where(same, shown + 1e-6, shown), every


def gallery_sheet(gallery: Gallery, pictures: Tensor, called: Sequence[str]) -> Tensor:
    """IMAGE (1, h, w, 3): a row for each concept, the picture that shows it most with its outline and name, then the
    squares."""
    prevalence = gallery.codes.prevalence().tolist()
    rows = []
    for index, places in enumerate(gallery.places):
        if not places:
            continue
        first = places[0].picture
        title = f"{title_of(gallery, index, short=True)}   in {prevalence[index]:.0%}" + _stability(gallery, index)
        cuts = torch.stack([place.cut(pictures) for place in places])
        captions = [Caption(f"{place.score:.2f}") for place in places]
        source = _outlined(gallery.codes, index, pictures[first], first)
        rows.append(Row(title, colour_of(index), source, cuts, captions, called[first]))
    if not rows:
        raise ValueError(NOTHING)
    return contact_sheet(rows)


def title_of(gallery: Gallery, index: int, short: bool = False) -> str:
    """A concept's number and name."""
    own, number = gallery.codes.bank.names[index], str(index + 1)
    found = gallery.names[index] if gallery.names else None
    named_before = "" if own == number else own
    called = named_before if found is None else found.short if short else str(found)
    return f"{number}  {called}".rstrip()


def report(gallery: Gallery, known: Meanings | None = None) -> str:
    """What is known of each concept, as text: a line each; how well a plain probe does beside them, where labels are
    known; and what it is valid for."""
    bank, prevalence = gallery.codes.bank, gallery.codes.prevalence().tolist()
    lines = [
        f"{title_of(gallery, index)}: in {prevalence[index]:.0%} of {counted(len(gallery.codes.values), 'picture')}"
        + _stability(gallery, index)
        + _meaning(known, index)
        for index in range(len(gallery.places))
    ]
    left = len(bank) - len(gallery.places)
    more = [f"{left} more ingredients are not shown."] if left else []
    return "\n".join([*lines, *more, *beside_probe(known), valid_for(bank)])


def _meaning(known: Meanings | None, index: int) -> str:
    """How well a concept predicts one label, and not the others."""
    if known is None:
        return ""
    word, value, chance = (
        known.names[int(known.label[index])],
        float(known.separable[index]),
        float(known.chance[index]),
    )
    said = f"{word}; chance {chance:.2f}" + (", so no more than by chance" if value <= chance else "")
    return f", separability {value:.2f} ({said})"


def beside_probe(known: Meanings | None) -> list[str]:
    """How well the best ingredient and a plain linear probe predict each label, and which is better."""
    if known is None:
        return [
            "There is no linear probe to compare with, since nothing says what the pictures show: connect "
            "captions, or CLIP_VISION and CLIP."
        ]
    ahead = [fit for fit in known.fits if fit.better == "probe"]
    verdict = f"The plain linear probe is better for {len(ahead)} of {counted(len(known.fits), 'label')}"
    verdict = verdict if ahead else "The plain linear probe is not better for any label"
    advice = ": to find what you can name, train a concept head." if ahead else "."
    head = f"Labels by {known.source}; AUROC on held-out pictures of the best ingredient and of a plain linear probe:"
    if known.guessed:
        head = f"These labels are guesses and may be wrong; connect captions for sure ones. {head}"
    lines = [
        f"{fit.name}: ingredient {fit.concept + 1} {fit.auroc:.2f}, probe {fit.probe:.2f}"
        + (f" (the {fit.better} is better)" if fit.better else "")
        for fit in known.fits
    ]
    return [head, *lines, verdict + advice, *_rough(known)]


def _rough(known: Meanings) -> list[str]:
    """Which labels too few pictures bear, or lack, for figures that can be relied on."""
    rough = [fit.name for fit in known.fits if fit.pictures < FEW]
    if not rough:
        return []
    which = "all labels" if len(rough) == len(known.fits) else listed(rough)
    return [f"Rough figures: fewer than {FEW} pictures show, or lack, {which}."]


def valid_for(bank: ConceptBank) -> str:
    """What a bank's findings hold for, one sentence."""
    facts = bank.metadata
    pictures = counted(int(facts["pictures"]), "picture") if "pictures" in facts else "some pictures"
    share = f"; they explain {float(facts['explained']):.0%} of it" if "explained" in facts else ""
    found = f"Found by {bank.kind} in {pictures}: valid for {bank.origin.title} alone{share}."
    return f"{said_of(bank)} {found}".strip()


def usage(bank: ConceptBank) -> str:
    """How many ingredients a position uses, how many are never used, and how alike the nearest two are; nothing for a
    bank that does not say the first."""
    if "active" not in bank.metadata or len(bank) < 2:
        return ""
    alike = (bank.directions @ bank.directions.T).fill_diagonal_(-1).max()
    unused = int((bank.usual <= 0).sum())
    are = "is" if unused == 1 else "are"
    never = f"{unused} of them {are} never used" if unused else "all of them are used somewhere"
    return (
        f"A position uses {float(bank.metadata['active']):.1f} of the {len(bank)}, {never}, and the two most alike "
        f"agree to {float(alike):.2f}."
    )


def _stability(gallery: Gallery, index: int) -> str:
    bank = gallery.codes.bank
    seeds = float(bank.metadata.get("seeds", "1")) >= 2
    other = f", stability {float(bank.stability[index]):.2f}" if seeds else ""
    return other if bank.halves is None else f"{other}, in halves of the pictures {float(bank.halves[index]):.2f}"


def _outlined(codes: ConceptCodes, index: int, picture: Tensor, number: int) -> Tensor:
    """A picture (3, h, w) with a concept's mask outlined."""
    size = (picture.shape[-2], picture.shape[-1])
    mask = concept_masks(codes.of_picture(number), [index], size, HALF)[0, 0]
    return overlay_masks(picture.movedim(0, -1), mask[None], [""], [colour_of(index)]).movedim(-1, 0)


def called(bank: ConceptBank, indices: Sequence[int]) -> str:
    """What the ingredients of one mask are called beside it: their numbers, and their names where they have some."""
    each = [str(index + 1) for index in indices]
    names = [bank.names[index] for index in indices]
    return " + ".join(
        number if name == number else f"{number} {name}" for number, name in zip(each, names, strict=True)
    )


def mask_lines(titles: Sequence[str], soft: Tensor, threshold: float) -> list[str]:
    """Which mask is which, of N soft masks (N, P, H, W), and in how many pictures something of it is."""
    found = (soft > threshold).flatten(2).any(2).sum(1).tolist()  # (N,)
    count = soft.shape[1]
    lines = []
    for number, (title, there) in enumerate(zip(titles, found, strict=True), 1):
        where = f"in {there} of {counted(count, 'picture')}" if there else "nowhere"
        lines.append(f"Mask {number} is {title}: above {threshold:g} {where}.")
    return lines


def overlays(pictures: Tensor, masks: Tensor, names: Sequence[str], threshold: float) -> Tensor:
    """IMAGE (P, h, w, 3): pictures (P, 3, H, W), over each its parts by the strongest of N soft masks (N, P, H, W),
    with their names."""
    parts = disjoint(masks, threshold)
    drawn = []
    for number, picture in enumerate(pictures):
        here = [index for index in range(len(names)) if bool(parts[index, number].any())]
        colours = [colour_of(index) for index in here]
        drawn.append(overlay_masks(picture.movedim(0, -1), parts[here, number], [names[i] for i in here], colours))
    return torch.stack(drawn)


def known_masks(masks: Tensor, pictures: Tensor) -> Tensor:
    """(P, H, W) bool of masks (P, h, w) in 0..1 in the size of pictures (P, 3, H, W).

    Raises ``ValueError`` for another number of masks than pictures.
    """
    if len(masks) != len(pictures):
        raise ValueError(f"{there_are((len(pictures), 'picture'), (len(masks), 'mask'))}; give one for each, or none")
    return interpolate(masks[:, None].float(), pictures.shape[-2:], mode="area")[:, 0] > 0.5


def grade_lines(names: Sequence[str], soft: Tensor, known: Tensor) -> list[str]:
    """How each of N concepts, soft masks (N, P, H, W), agrees with masks (P, H, W) bool of one thing, a line each."""
    grades = [grade_map(maps, known) for maps in soft]
    exists = ["" if one.existence is None else f", tells the pictures by {one.existence:.2f}" for one in grades]
    lines = [
        f"{plain(name)}: points into it in {one.pointing:.0%}, {one.inside:.0%} inside, best IoU {one.iou:.2f}{tells}"
        for name, one, tells in zip(names, grades, exists, strict=True)
    ]
    return [f"Beside what is known, which covers {grades[0].area:.0%} of the pictures that show it:", *lines]
