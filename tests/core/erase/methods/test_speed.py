import json
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.clustering.finch import cluster_means
from concept_atelier.core.clustering.kmeans import kmeans
from concept_atelier.core.erase.methods.speed import METHOD, SpeedSettings, _Problem, free_directions
from concept_atelier.core.erase.parts.closed_form import outer_sum, solve
from concept_atelier.core.erase.parts.concept_vectors import vectors
from concept_atelier.core.erase.parts.settings import RidgeSettings

from .dense import edited, kept_of, rows_of

PLAIN = SpeedSettings(filtered=False, augmented=0, threshold=0.2, projections="both")
KEPT = ["crab", "bell", "boat", "tree"]


def written_out(backbone, settings, w0, concepts, preserve):
    """``W + W (S - T) P Q M`` with whole matrices, the preserved vectors filtered as the paper does, no copies."""
    pairs = [rows_of(backbone, settings, *pair) for pair in concepts]
    c, g = (torch.cat(rows, 1) for rows in zip(*pairs, strict=True))
    kept, eye = kept_of(backbone, settings, preserve), torch.eye(192, dtype=torch.float64)
    t, s = c @ c.T / c.shape[1], g @ c.T / c.shape[1]
    if settings.filtered:
        moved = (w0 @ (s - t) @ torch.linalg.inv(eye + t) @ kept).norm(dim=0)
        kept = kept[:, moved >= moved.mean()]
    correlation = kept @ kept.T
    u, values, _ = torch.linalg.svd(correlation * 192 / correlation.trace())
    p = u[:, values < settings.threshold] @ u[:, values < settings.threshold].T
    empty = vectors(backbone, "", "all")
    equal = torch.cat([empty[:1], cluster_means(empty[1:], kmeans(empty[1:], 3, settings.seed))]).T
    m = torch.linalg.inv(t @ p + settings.damping * eye)
    held = torch.linalg.inv(equal.T @ p @ m @ equal + settings.equality_damping * torch.eye(4, dtype=torch.float64))
    q = eye - m @ equal @ held @ equal.T @ p
    return w0 + w0 @ (s - t) @ p @ q @ m


@pytest.mark.parametrize("filtered", [True, False])
@pytest.mark.parametrize("equality", [0.0, 0.5])
def test_equals_the_formula_with_whole_matrices(lab_backbone, filtered, equality):
    concepts = [("cat", "dog"), ("rocket", "")]
    settings = replace(PLAIN, filtered=filtered, equality_damping=equality)
    erasure = METHOD.erase(lab_backbone, *map(list, zip(*concepts, strict=True)), KEPT, settings)
    for w0, w in edited(lab_backbone, erasure).values():
        wanted = written_out(lab_backbone, settings, w0, concepts, KEPT)
        assert (w - wanted).norm() < 1e-4 * (wanted - w0).norm()


@pytest.mark.parametrize("filtered", [True, False])
def test_copies_count_as_if_they_were_written_out(lab_backbone, generator, filtered):
    settings = replace(PLAIN, augmented=4, filtered=filtered)
    c, g = rows_of(lab_backbone, settings, "cat", "dog")
    kept, w0 = (
        torch.randn(30, 192, generator=generator, dtype=torch.float64),
        torch.randn(200, 192, generator=generator).double(),
    )
    plain = solve(c.T, g.T, torch.zeros(192, 192), RidgeSettings(damping=1.0))
    found = _Problem(None, plain, kept, c, settings)._kept(w0.T @ w0)

    def moved(rows):
        return (rows @ plain.down.T @ plain.shift.T @ w0.T).norm(dim=1)

    mean = moved(kept).mean()
    chosen = kept[moved(kept) >= mean] if filtered else kept
    least = torch.linalg.eigh(w0.T @ w0).eigenvectors[:, 0]
    draws = torch.Generator().manual_seed(settings.seed)
    noise = [torch.randn(len(chosen), generator=draws, dtype=torch.float64) for _ in range(4)]
    copies = [chosen + one[:, None] * least for one in noise]
    written = torch.cat([chosen, *[rows[moved(rows) >= mean] for rows in copies]])
    assert len(chosen) < len(written) <= 5 * len(chosen)
    torch.testing.assert_close(found, written.T @ written)


def test_what_is_preserved_and_the_start_token_do_not_move_and_the_concept_does(lab_backbone):
    settings = replace(PLAIN, threshold=1e-6, damping=1e-2)
    erasure = METHOD.erase(lab_backbone, ["cat"], "dog", KEPT, settings)
    kept, (cat, _) = kept_of(lab_backbone, settings, KEPT), rows_of(lab_backbone, settings, "cat", "dog")
    start = vectors(lab_backbone, "", "all")[:1].T
    for w0, w in edited(lab_backbone, erasure).values():
        for rows in (kept, start):
            assert ((w - w0) @ rows).norm() < 1e-4 * (w0 @ rows).norm()
        assert ((w - w0) @ cat).norm() > 1e-2 * (w0 @ cat).norm()


def test_free_directions_are_those_that_the_vectors_do_not_use(generator):
    rows = torch.randn(3, 12, generator=generator, dtype=torch.float64)
    free = free_directions(outer_sum(rows), 1e-9)
    assert free.shape == (12, 9)
    torch.testing.assert_close(free.T @ free, torch.eye(9, dtype=torch.float64))
    assert (rows @ free).abs().max() < 1e-6
    larger = free_directions(outer_sum(rows * 100), 1e-9)
    torch.testing.assert_close(larger @ larger.T, free @ free.T)


def test_a_hundred_concepts_keep_a_low_rank_and_what_is_preserved(lab_backbone):
    concepts = [f"{a} {b}" for a in ("red", "blue", "big", "old", "new") for b in ("cat", "dog", "fox", "bee")]
    erasure = METHOD.erase(lab_backbone, concepts, "", KEPT, replace(PLAIN, threshold=1e-6))
    assert int(erasure.metadata["rank"]) <= 20
    kept = kept_of(lab_backbone, PLAIN, KEPT)
    for w0, w in edited(lab_backbone, erasure).values():
        assert ((w - w0) @ kept).norm() < 1e-4 * (w0 @ kept).norm()


def test_copies_and_the_filter_change_the_solution_and_one_choice_for_all_gives_one_edit(lab_backbone):
    def solved(**changes):
        return METHOD.erase(
            lab_backbone, ["cat"], "dog", KEPT, replace(PLAIN, **({"threshold": 1e-6} | changes))
        ).factors

    plain = solved()
    name = next(iter(plain))
    for changes in ({"augmented": 10}, {"filtered": True}, {"threshold": 100.0}, {"damping": 0.1}):
        assert not torch.allclose(solved(**changes)[name].dense(), plain[name].dense(), rtol=1e-3)
    together = solved(per_projection=False, augmented=3)
    downs = [factor.down for factor in together.values()]
    assert all(torch.equal(down, downs[0]) for down in downs)


def test_texts_that_contain_a_concept_are_not_preserved_and_this_is_said(lab_backbone):
    erasure = METHOD.erase(lab_backbone, ["cat"], "dog", ["a Cat house", "catfish", *KEPT], PLAIN)
    plain = METHOD.erase(lab_backbone, ["cat"], "dog", ["catfish", *KEPT], PLAIN)
    assert "not preserved: a Cat house." in json.loads(erasure.metadata["remarks"])[1]
    assert json.loads(erasure.metadata["preserve"])[0] == "a Cat house"
    for name, factor in erasure.factors.items():
        assert torch.equal(factor.dense(), plain.factors[name].dense())


def test_a_list_that_leaves_nothing_free_is_refused(lab_backbone, monkeypatch):
    monkeypatch.setattr("concept_atelier.core.erase.methods.speed.free_directions", lambda kept, _: kept[:, :0])
    with pytest.raises(ValueError, match="leave no direction free"):
        METHOD.erase(lab_backbone, ["cat"], "dog", KEPT, PLAIN)


@pytest.mark.parametrize("wrong", [{"threshold": 0.0}, {"augmented": -1}, {"equality_damping": -1.0}], ids=str)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SpeedSettings(**wrong)
