import json
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.erase.methods.rece import METHOD, ReceSettings, revive
from concept_atelier.core.erase.methods.uce import METHOD as UCE
from concept_atelier.core.erase.parts.projections import gram, projections_of

from .dense import edited, kept_of, ridge, rows_of

EXACT = ReceSettings(damping=0.1, preserve_scale=0.1, rounds=2)


def written_out(backbone, settings, concepts, preserve):
    """Name to W after every round, one weight after another, as the paper has it."""
    pairs = [rows_of(backbone, settings, *pair) for pair in concepts]
    c, g = (torch.cat(rows, 1) for rows in zip(*pairs, strict=True))
    p = kept_of(backbone, settings, preserve)
    first = {w.name: w.weight.double() for w in backbone.key_value_weights()}
    how = (settings.damping, settings.erase_scale, settings.preserve_scale)
    now = {name: ridge(w0, c, w0 @ g, p, *how) for name, w0 in first.items()}
    for _ in range(settings.rounds):
        system = settings.revival_damping * torch.eye(192, dtype=torch.float64)
        right = torch.zeros(192, 192, dtype=torch.float64)
        for name, w0 in first.items():
            system += now[name].T @ now[name]
            right += now[name].T @ w0
        revived = torch.linalg.inv(system) @ right @ c
        now = {name: ridge(w, revived, w @ g, p, *how) for name, w in now.items()}
    return now


@pytest.mark.parametrize("mode", ["last_subject", "from_subject_to_end"])
def test_equals_the_rounds_written_out_for_every_projection(lab_backbone, mode):
    concepts, preserve = [("cat", "dog"), ("rocket", "")], ["crab", "bell"]
    settings = replace(EXACT, token_mode=mode)
    erasure = METHOD.erase(lab_backbone, *map(list, zip(*concepts, strict=True)), preserve, settings)
    wanted = written_out(lab_backbone, settings, concepts, preserve)
    found = edited(lab_backbone, erasure)
    assert set(found) == set(wanted)
    for name, (w0, w) in found.items():
        assert (w - wanted[name]).norm() < 1e-4 * (wanted[name] - w0).norm()


def test_without_a_round_it_is_uce(lab_backbone):
    given = (lab_backbone, ["cat"], "dog", ["crab"])
    plain = METHOD.erase(*given, replace(EXACT, rounds=0, preserve_scale=1.0, damping=0.5))
    uce = UCE.erase(*given)
    for name, factor in uce.factors.items():
        torch.testing.assert_close(plain.factors[name].dense(), factor.dense(), atol=1e-6, rtol=1e-4)


def test_what_is_revived_leaves_no_slope(lab_backbone, generator):
    """It minimises ``sum ||W c' - W0 c||^2 + lambda_r ||c'||^2``, and 0 <= the share brought back <= 1."""
    weights = projections_of(lab_backbone, 192, "both")
    shift, c = (torch.randn(rows, 192, generator=generator, dtype=torch.float64) for rows in (3, 2))
    down = torch.randn(3, 192, generator=generator, dtype=torch.float64) / 50
    found, share = revive(gram(weights), shift.T, down, c, 0.3)
    point = found.clone().requires_grad_()
    edit = torch.eye(192, dtype=torch.float64) + shift.T @ down
    misses = sum((point @ (w.weight.double() @ edit).T - c @ w.weight.double().T).square().sum() for w in weights)
    (slope,) = torch.autograd.grad(misses + 0.3 * point.square().sum(), point)
    assert slope.abs().max() < 1e-8 and 0 < share <= 1


def test_a_held_concept_stays_erased_where_rounds_alone_bring_it_back(lab_backbone):
    """How far off the anchor the concept is read: with ``hold`` as after UCE."""
    settings = replace(METHOD.preset("small"), damping=0.01, revival_damping=1.0)
    c, g = rows_of(lab_backbone, settings, "cat", "dog")

    def off(**changes):
        erasure = METHOD.erase(lab_backbone, ["cat"], "dog", ["crab"], replace(settings, **changes))
        return sum(float((w @ c - w0 @ g).norm()) for w0, w in edited(lab_backbone, erasure).values())

    assert off(hold=True) < 2 * off(rounds=0) < off(hold=False) / 10


def test_it_says_what_could_be_brought_back_before_each_round(lab_backbone):
    remarks = json.loads(METHOD.erase(lab_backbone, ["cat"], "dog", settings=EXACT).metadata["remarks"])
    assert len(remarks) == 2 and remarks[0].startswith("Before round 1, a text could bring back ")


@pytest.mark.parametrize("wrong", [{"rounds": -1}, {"revival_damping": 0.0}], ids=str)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ReceSettings(**wrong)
