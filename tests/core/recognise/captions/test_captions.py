import pytest
import torch

from concept_atelier.core.recognise.captions.complete import CompleteSettings, complete
from concept_atelier.core.recognise.captions.evidence import left_out, probabilities, relative
from concept_atelier.core.recognise.captions.lint import LintSettings, entangled, lint, phi_of
from concept_atelier.core.recognise.captions.words import concepts_of, mentions


def folder(count=60, seed=0, omitted=0.25):
    """Pictures made of some of six concepts, what they show, and what their captions mention."""
    generator = torch.Generator().manual_seed(seed)
    concepts = torch.eye(12)[:6]
    truth = torch.rand(count, 6, generator=generator) < 0.35
    truth[:, 0] |= ~truth.any(1)
    pictures = truth.float() @ concepts + 0.15 * torch.randn(count, 12, generator=generator)
    mentioned = truth & (torch.rand(truth.shape, generator=generator) > omitted)
    return pictures, concepts, truth, mentioned


def test_words_are_found_whole_and_in_the_plural():
    captions = ["Two foxes and a red cat", "a category, a RED  CAR", ""]
    found = mentions(captions, ["fox", "cat", "red car", "red"])
    assert found.tolist() == [[True, True, False, True], [False, False, True, True], [False] * 4]
    assert mentions([], ["a"]).shape == (0, 1)
    with pytest.raises(ValueError, match="a concept is empty"):
        mentions(["x"], [" "])


def test_tags_stay_whole_and_sentences_become_words():
    assert concepts_of(["1girl, blue sky, tree", "1girl, blue sky, road"]) == ["1girl", "blue sky"]
    assert concepts_of(["a cat on the roof", "the cat on a table"]) == ["cat"]


def test_what_is_left_out_is_restored_with_its_source():
    pictures, concepts, truth, mentioned = folder()
    found = complete(pictures, concepts, mentioned, CompleteSettings(usual=1))
    gone, restored = truth & ~mentioned, 0
    for number, additions in enumerate(found):
        assert len({one.concept for one in additions}) == len(additions) <= 3
        for one in additions:
            assert mentioned[one.source, one.concept] and not mentioned[number, one.concept] and one.source != number
            restored += bool(gone[number, one.concept])
    every = sum(map(len, found))
    assert restored / every > 0.9 and restored / int(gone.sum()) > 0.5


def test_nothing_is_added_to_captions_that_are_complete():
    pictures, concepts, _, mentioned = folder(omitted=0)
    found = complete(pictures, concepts, mentioned)
    assert sum(map(len, found)) <= 0.02 * int((~mentioned).sum())


def test_what_most_archives_hold_is_passed_over():
    pictures, concepts, _, mentioned = folder()
    assert not any(complete(pictures, concepts, mentioned, CompleteSettings(usual=1e-6)))


def test_what_pictures_show_is_probable_and_odd_columns_are_zero():
    pictures, concepts, truth, mentioned = folder()
    mentioned[:, 4], mentioned[:, 5] = False, True
    found = probabilities(pictures, pictures @ concepts.T, mentioned, 0.3)
    assert float(found[:, 4:].max()) == 0 and bool(torch.isfinite(found).all())
    silent, judged, shown = ~mentioned[:, :4], found[:, :4], truth[:, :4]
    assert float(judged[silent & shown].mean()) > 0.5 > 0.1 > float(judged[silent & ~shown].mean())


def test_a_pictures_own_caption_does_not_count_in_its_regression():
    pictures, _, _, mentioned = folder()
    other = mentioned.clone()
    other[7] = ~other[7]
    moved = (left_out(pictures, mentioned.float()) - left_out(pictures, other.float())).abs().amax(1)
    assert float(moved[7]) < 1e-5 and float(torch.cat([moved[:7], moved[8:]]).mean()) > 1e-2


def test_a_picture_is_judged_by_regressions_on_the_others():
    generator = torch.Generator().manual_seed(1)
    rows, labels = torch.randn(30, 5, generator=generator), torch.rand(30, 1, generator=generator) < 0.4
    scaled = (rows - rows.mean(0)) / rows.std(0)
    whole = torch.cat([scaled, torch.ones(30, 1)], 1)
    others = torch.arange(30) != 7
    penalty = torch.diag(torch.tensor([2.0] * 5 + [0.0]))
    weights = torch.linalg.solve(whole[others].T @ whole[others] + penalty, whole[others].T @ labels[others].float())
    torch.testing.assert_close(left_out(rows, labels, 2.0)[7], (whole[7] @ weights), rtol=1e-3, atol=1e-4)


def test_similarities_count_beyond_those_to_other_words_in_the_best_view():
    similar = torch.rand(20, 4, 3, generator=torch.Generator().manual_seed(0))
    found = relative(similar)
    assert torch.allclose(
        relative(similar * torch.tensor([1.0, 5.0, 0.2]) + torch.tensor([3.0, 0, 1])), found, atol=1e-4
    )
    similar[7, 2, 1] += 10
    assert int(relative(similar)[:, 1].argmax()) == 7


def test_what_only_windows_show_is_found():
    """Whole pictures are noise; each has four windows, one of which shows the concept."""
    _, concepts, truth, mentioned = folder(100)
    generator = torch.Generator().manual_seed(2)
    pictures = torch.randn(100, 12, generator=generator)
    windows = 0.2 * torch.randn(100, 4, 12, generator=generator)
    for concept in range(6):
        place = torch.randint(4, (100,), generator=generator)
        windows[torch.arange(100), place] += truth[:, concept, None] * concepts[concept]
    gone = truth & ~mentioned
    for given, least, most in ((windows, 0.3, 1.0), (None, 0.0, 0.1)):
        found = complete(pictures, concepts, mentioned, CompleteSettings(usual=1, neighbours=99), windows=given)
        right = [bool(gone[number, one.concept]) for number, of in enumerate(found) for one in of]
        assert least <= sum(right) / int(gone.sum()) <= most and (given is None or sum(right) / len(right) > 0.6)


def test_faults_are_named():
    pictures, concepts, _, mentioned = folder()
    with pytest.raises(ValueError, match="at least 3"):
        complete(pictures[:2], concepts, mentioned[:2])
    with pytest.raises(ValueError, match="mentioned must be"):
        complete(pictures, concepts, mentioned[:, :2])
    with pytest.raises(ValueError, match="at least two captions"):
        lint(torch.ones(1, 4, dtype=torch.bool))


def tagged():
    """Concepts 0 and 1 always together, 2 only ever with 3, the rest at random."""
    generator = torch.Generator().manual_seed(0)
    tags = torch.rand(60, 5, generator=generator) < 0.5
    tags[:, 1] = tags[:, 0]
    tags[:, 3] |= tags[:, 2]
    return tags


def test_planted_entanglement_is_found_and_nothing_else():
    found = lint(tagged())
    assert found.together == ((0, 1),) and found.implied == ((2, 3),)
    assert found.identified < 1e-6 and float(found.inflation[0]) > 100 > float(found.inflation[4])
    free = lint(torch.rand(200, 5, generator=torch.Generator().manual_seed(1)) < 0.5)
    assert not free.together and not free.implied and not free.fixes and free.identified > 0.6


def with_counts(*counts):
    """Tags of 100 pictures: so many have both of two concepts, the first alone, the second alone, and a third."""
    both, first, second, third = counts
    tags = torch.zeros(100, 3, dtype=torch.bool)
    tags[:both, :2] = tags[both : both + first, 0] = True
    tags[both + first : both + first + second, 1] = tags[50 : 50 + third, 2] = True
    return tags


@pytest.mark.parametrize(
    ("tags", "sharp", "loose"),
    [
        (with_counts(3, 0, 0, 20), {"fewest": 4}, {"fewest": 3}),  # always together, in 3 pictures
        (with_counts(18, 2, 2, 20), {"together": 0.91}, {"together": 0.89}),  # in 9 of 10 pictures of either
        (with_counts(18, 2, 20, 20), {"implies": 0.91}, {"implies": 0.89}),  # the first with the second in 9 of 10
    ],
)
def test_what_is_reported_begins_at_the_threshold(tags, sharp, loose):
    none, found = (lint(tags, LintSettings(**changes)) for changes in (sharp, loose))
    assert not none.together and not none.implied
    expected = ((), ((0, 1),)) if "implies" in loose else (((0, 1),), ())
    assert (found.together, found.implied) == expected


def test_fixes_lower_the_correlations_and_keep_pairs_apart():
    found = lint(tagged(), LintSettings(fixes=4))
    assert len(found.fixes) == 4 and all(fix.gain > 0 for fix in found.fixes)
    for fix in found.fixes:
        assert (fix.drop is None) == bool(fix.present) and fix.absent not in fix.present
    assert not lint(tagged(), LintSettings(fixes=0)).fixes
    one, two, three = (torch.rand(3, 14, generator=torch.Generator().manual_seed(8)) < 0.5).unbind()
    few = lint(torch.stack([one, one, two, three, three], 1), LintSettings(fixes=15)).fixes
    assert few and all(fix.gain > 0 for fix in few)  # where dropping an added picture would be best, the list ends


def test_correlations_and_information_are_those_of_the_definition():
    tags = tagged()
    expected = torch.corrcoef(tags.double().T)
    torch.testing.assert_close(phi_of(tags.double()), expected)
    bits = entangled(tags, tags[:, 0])
    share = float(tags[:, 0].float().mean())
    entropy = -(share * torch.tensor(share).log2() + (1 - share) * torch.tensor(1 - share).log2())
    assert float(bits[1]) == pytest.approx(float(entropy), abs=1e-4) and float(bits[4]) < 0.1
    assert float(entangled(tags, torch.ones(60, dtype=torch.bool)).abs().max()) < 1e-9
