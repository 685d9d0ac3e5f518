"""The closed forms written out with whole matrices, as their papers print them, to compare the methods with."""

import torch

from concept_atelier.core.erase.parts.concept_vectors import concept_rows, paired, vectors


def rows_of(backbone, settings, concept, anchor):
    """A concept's vectors and its anchor's beside them, columns (D, n)."""
    how = (settings.token_mode, settings.templates)
    ours, theirs = (concept_rows(backbone, text, *how) for text in (concept, anchor))
    return tuple(rows.T for rows in paired(ours, theirs, settings.combine))


def kept_of(backbone, settings, texts):
    """The vectors of preserved texts, columns (D, m)."""
    how = (settings.token_mode, settings.templates, settings.combine)
    return torch.cat([vectors(backbone, text, *how) for text in texts]).T


def ridge(w0, moved, wanted, kept, damping, erased_scale=1.0, kept_scale=1.0):
    """``W`` that reads columns ``moved`` as ``wanted`` (what W is to give), and ``kept`` as ``w0`` does."""
    eye = torch.eye(w0.shape[1], dtype=torch.float64)
    a = damping * eye + erased_scale * moved @ moved.T + kept_scale * kept @ kept.T
    b = damping * w0 + erased_scale * wanted @ moved.T + kept_scale * w0 @ kept @ kept.T
    return b @ torch.linalg.inv(a)


def edited(backbone, erasure):
    """Name to W0 and W0 with the change, float64."""
    return {
        weight.name: (weight.weight.double(), weight.weight.double() + erasure.factors[weight.name].dense().double())
        for weight in backbone.key_value_weights()
        if weight.name in erasure.factors
    }
