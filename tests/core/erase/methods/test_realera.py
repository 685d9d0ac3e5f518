import json
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.erase.methods.realera import METHOD, RealeraSettings, mine, solve_around
from concept_atelier.core.erase.methods.uce import METHOD as UCE
from concept_atelier.core.erase.parts.gather import Gathered
from concept_atelier.core.erase.parts.related import RelatedWord

from .dense import edited, kept_of, ridge, rows_of

BARE = RealeraSettings(neighbours=0, beyond=0, searched=0, related=0)


def test_without_anything_around_it_is_uce(lab_backbone):
    given = (lab_backbone, ["cat", "rocket"], ["dog", ""], ["crab"])
    bare, uce = METHOD.erase(*given, BARE), UCE.erase(*given)
    for name, factor in uce.factors.items():
        torch.testing.assert_close(bare.factors[name].dense(), factor.dense(), atol=1e-5, rtol=1e-3)


def test_equals_the_problem_written_out_with_the_same_vectors(lab_backbone):
    settings = replace(BARE, neighbours=8, beyond=20, neighbour_scale=0.7, ring_scale=0.4, seed=3, damping=0.3)
    erasure = METHOD.erase(lab_backbone, ["cat"], "dog", ["crab"], settings)
    e, a = rows_of(lab_backbone, settings, "cat", "dog")
    generator = torch.Generator().manual_seed(3)
    inside = mine(e[:, 0], 8, settings.radius, (settings.inside, settings.nearest), generator).T
    ring = mine(e[:, 0], 20, settings.ring, (-1.0, settings.inside), generator, settings.radius).T
    kept = torch.cat([kept_of(lab_backbone, settings, ["crab"]), (0.4 / ring.shape[1]) ** 0.5 * ring], 1)
    weight = (0.7 / inside.shape[1]) ** 0.5
    moved, wanted = torch.cat([e, weight * inside], 1), torch.cat([a, weight * a.expand_as(inside)], 1)
    for w0, w in edited(lab_backbone, erasure).values():
        dense = ridge(w0, moved, w0 @ wanted, kept, 0.3)
        assert (w - dense).norm() < 1e-4 * (dense - w0).norm()


@pytest.mark.parametrize("size", [1.0, 50.0])
def test_vectors_lie_in_their_band_whatever_the_scale(generator, size):
    centre = size * torch.randn(96, generator=generator, dtype=torch.float64)
    inside = mine(centre, 40, 0.5, (0.85, 0.995), generator)
    alike = torch.nn.functional.cosine_similarity(inside, centre[None])
    assert 20 < len(inside) <= 40 and alike.min() >= 0.85 and alike.max() <= 0.995
    assert (inside - centre).norm(dim=1).max() <= 0.5 * centre.norm() + 1e-9
    ring = mine(centre, 40, 1.2, (-1.0, 0.85), generator, 0.5)
    far = (ring - centre).norm(dim=1) / centre.norm()
    assert far.min() >= 0.5 and far.max() <= 1.2 + 1e-9
    assert torch.nn.functional.cosine_similarity(ring, centre[None]).max() <= 0.85


def test_the_neighbourhood_moves_with_the_concept_and_the_ring_holds_what_lies_beyond(generator):
    """Fresh vectors, not those that were solved with."""
    e, a, other = torch.randn(3, 1, 32, generator=generator, dtype=torch.float64)
    read = Gathered(("x",), (((e, a),),), torch.zeros(32, 32, dtype=torch.float64), torch.zeros(0, 32))

    def moved(**changes):
        change = solve_around(read, replace(BARE, damping=0.01, **changes))
        rows = mine(e[0], 50, 0.5, (0.85, 0.995), torch.Generator().manual_seed(9))
        off = (rows + rows @ change.T - a).norm(dim=1).mean()  # how far from the anchor vectors inside are read
        return float(off), float((other @ change.T).norm())

    plain, around = moved(), moved(neighbours=200)
    assert around[0] < plain[0]
    assert moved(neighbours=200, beyond=400, ring_scale=5.0)[1] < around[1]


def test_words_inside_are_erased_as_the_concept_is_and_all_are_named(lab_backbone, monkeypatch):
    near = [RelatedWord("fox", 0.97), RelatedWord("tree", 0.96), RelatedWord("house", 0.3)]
    monkeypatch.setattr("concept_atelier.core.erase.methods.realera.WordSearch.near", lambda self, *_: near)
    settings = replace(BARE, searched=9, related=1, inside=0.9)
    steps = []
    erasure = METHOD.erase(lab_backbone, ["cat"], "dog", ["crab"], settings, on_step=lambda *step: steps.append(step))
    assert json.loads(erasure.metadata["remarks"]) == [
        "cat: erased with it: fox (0.97); inside but not erased: tree (0.96); nearest outside: house (0.30)."
    ]
    both = METHOD.erase(lab_backbone, ["cat", "fox"], "dog", ["crab"], BARE)
    for name, factor in both.factors.items():
        torch.testing.assert_close(factor.dense(), erasure.factors[name].dense(), atol=1e-6, rtol=1e-4)
    assert json.loads(erasure.metadata["concepts"]) == ["cat"]
    assert steps[-1][0] == steps[-1][1] and [done for done, _ in steps] == list(range(1, len(steps) + 1))


@pytest.mark.parametrize("wrong", [{"inside": 0.999}, {"radius": 2.0}, {"neighbours": -1}, {"related": -1}], ids=str)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RealeraSettings(**wrong)
