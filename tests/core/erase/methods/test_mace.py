from dataclasses import replace

import pytest
import torch

from concept_atelier.core.erase.methods.mace import METHOD, MaceSettings
from concept_atelier.core.erase.parts.concept_vectors import concept_rows, vectors

from .dense import edited, kept_of, ridge

SETTINGS = MaceSettings(templates=("{}", "a photo of {}"), combine="separate", damping=2.0, preserve_scale=0.3)


def columns(blocks):
    return torch.cat(blocks).T


def parts(backbone, settings, concept, anchor):
    """Of a concept: the rows behind it, its own, and all, each beside the anchor's; columns."""
    behind, own = ([], []), ([], [])
    for ours, theirs in zip(
        *(concept_rows(backbone, text, "from_subject_to_end", settings.templates) for text in (concept, anchor)),
        strict=True,
    ):
        length = min(len(ours.rest), len(theirs.rest))
        behind[0].append(ours.rest[:length])
        behind[1].append(theirs.rest[:length])
        own[0].append(ours.subject)
        own[1].append(theirs.subject[-1:].expand(len(ours.subject), -1))
    every = [torch.cat(both) for both in zip(own[0], behind[0], strict=True)]
    return [columns(block) for block in (*behind, *own)] + [columns(every)]


def before(backbone, settings):
    """What stands before a concept in every sentence: the start, and "a photo of"."""
    start = vectors(backbone, "", "last_subject")
    words = concept_rows(backbone, "a photo of", "from_subject_to_end")[0].subject
    return torch.cat([start, start, words]).T


def written_out(backbone, settings, w0, pairs, preserve):
    found = [parts(backbone, settings, *pair) for pair in pairs]
    kept = torch.cat([0.3**0.5 * kept_of(backbone, settings, preserve), *[before(backbone, settings)] * len(pairs)], 1)
    f, g = (torch.cat([part[i] for part in found], 1) for i in (0, 1))
    first = ridge(w0, f, w0 @ g, kept, settings.damping) if settings.refine else w0
    nothing = kept[:, :0]
    targets = []
    for _, _, c, a, every in found:
        alone = ridge(first, c, first @ a, nothing, settings.phrase_damping)
        targets.append(alone @ every)
    every = torch.cat([part[4] for part in found], 1)
    # The fusion stays near the refined weights, and keeps what is preserved as the original reads it.
    a = settings.damping * torch.eye(192, dtype=torch.float64) + every @ every.T + kept @ kept.T
    b = settings.damping * first + torch.cat(targets, 1) @ every.T + w0 @ kept @ kept.T
    return b @ torch.linalg.inv(a)


@pytest.mark.parametrize("refine", [True, False])
def test_equals_the_three_stages_with_whole_matrices(lab_backbone, refine):
    pairs, preserve = [("cat", "dog"), ("rocket", "crab")], ["bell", "boat"]
    settings = replace(SETTINGS, refine=refine)
    erasure = METHOD.erase(lab_backbone, *map(list, zip(*pairs, strict=True)), preserve, settings)
    for w0, w in edited(lab_backbone, erasure).values():
        wanted = written_out(lab_backbone, settings, w0, pairs, preserve)
        assert (w - wanted).norm() < 1e-4 * (wanted - w0).norm()


def test_the_concepts_own_words_must_be_separated_from_those_around_them():
    with pytest.raises(ValueError, match="token_mode must be from_subject_to_end"):
        MaceSettings(token_mode="last_subject")
    with pytest.raises(ValueError, match="phrase_damping"):
        MaceSettings(phrase_damping=0.0)
