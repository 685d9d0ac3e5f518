"""ConceptAttention: what concepts read, how scores become maps, and what is refused."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from concept_atelier.core.attribute.concept_attention import (
    ConceptCall,
    ConceptRecorder,
    ConceptSettings,
    attend_beside,
    concept_mask,
    concept_rows,
    concept_scores,
)
from concept_atelier.core.backbone import AttentionSite

SITE = AttentionSite("block", "joint", None, 2, 1)
CONCEPTS, PICTURE = slice(3, 5), slice(5, 11)  # behind three rows of text; one row of a reference picture at the end


@pytest.fixture
def tensors(generator):
    """Queries, keys and values (2, 2, 12, 4)."""
    return [torch.randn(2, 2, 12, 4, generator=generator) for _ in range(3)]


def flat(heads):
    return heads.transpose(1, 2).flatten(2)


def attend(query, key, value):
    return flat(scaled_dot_product_attention(query, key, value))


def test_concepts_read_the_picture_and_themselves(tensors):
    others, own = attend_beside(attend, *tensors, CONCEPTS, PICTURE)
    read = [3, 4, *range(5, 11)]  # neither the text nor the reference picture
    query, key, value = tensors
    weights = (query[:, :, CONCEPTS] @ key[:, :, read].transpose(-1, -2) / 2).softmax(-1)  # d is 4
    torch.testing.assert_close(own, flat(weights @ value[:, :, read]))
    assert others.shape == (2, 10, 8) and own.shape == (2, 2, 8)


def test_nothing_reads_a_concept(tensors, generator):
    changed = [one.clone() for one in tensors]
    for one in changed:
        one[:, :, CONCEPTS] = torch.randn(one[:, :, CONCEPTS].shape, generator=generator)
    others, own = attend_beside(attend, *tensors, CONCEPTS, PICTURE)
    as_before, moved = attend_beside(attend, *changed, CONCEPTS, PICTURE)
    assert torch.equal(others, as_before) and not torch.allclose(own, moved)
    rest = [torch.cat([one[:, :, :3], one[:, :, 5:]], 2) for one in tensors]
    assert torch.equal(others, attend(*rest))


def test_the_mask_says_the_same(tensors):
    others, own = attend_beside(attend, *tensors, CONCEPTS, PICTURE)
    masked = flat(scaled_dot_product_attention(*tensors, attn_mask=concept_mask(12, CONCEPTS, PICTURE)))
    torch.testing.assert_close(torch.cat([others[:, :3], own, others[:, 3:]], 1), masked)


def test_rows_may_lie_along_another_axis(tensors):
    plain = attend_beside(attend, *tensors, CONCEPTS, PICTURE)
    turned = [one.transpose(1, 2) for one in tensors]

    def across(*parts):
        return attend(*(part.transpose(1, 2) for part in parts))

    for one, other in zip(plain, attend_beside(across, *turned, CONCEPTS, PICTURE, axis=1), strict=True):
        torch.testing.assert_close(one, other)


def test_a_score_is_the_product_with_the_mean_of_a_concepts_rows():
    picture = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    concepts = torch.tensor([[[3.0, 1.0], [1.0, 1.0], [0.0, 5.0]]])
    assert concept_scores(picture, concepts, (2, 1)).tolist() == [[[2.0, 2.0], [0.0, 10.0]]]
    assert concept_scores(picture.half(), concepts.half(), (2, 1)).dtype == torch.float32


@pytest.fixture
def calls(generator):
    """Two layers on a 2x3 grid; the second row of the batch is the negative conditioning."""
    return [
        ConceptCall(
            SITE,
            torch.randn(2, 6, 8, generator=generator),
            torch.randn(2, 3, 8, generator=generator),
            (2, 3),
            (True, False),
        )
        for _ in range(2)
    ]


def recorded(calls, counts=(1, 1, 1), temperature=1.0):
    recorder = ConceptRecorder(counts, temperature)
    for call in calls:
        recorder.tap(call)
    return recorder.maps()


def test_maps_are_means_of_softmaxes_over_concepts(calls):
    maps = recorded(calls)
    own = [
        (call.concepts[:1] @ call.picture[:1].transpose(1, 2)).softmax(1).view(1, 3, 2, 3).transpose(0, 1)
        for call in calls
    ]
    torch.testing.assert_close(maps, (own[0] + own[1]) / 2)
    torch.testing.assert_close(maps.sum(0), torch.ones(1, 2, 3))
    assert not torch.allclose(maps, recorded(calls, temperature=3.0))


def test_equal_concepts_have_equal_maps(calls):
    for call in calls:
        call.concepts[:, 2] = call.concepts[:, 0]
    maps = recorded(calls)
    assert torch.equal(maps[0], maps[2]) and not torch.allclose(maps[0], maps[1])


def test_a_concept_that_is_what_a_cell_gives_leads_there(calls):
    call = calls[0]
    call.picture[0, :] *= 0.1
    call.concepts[0, 1] = call.picture[0, 4] = 3.0
    assert recorded([call])[:, 0].flatten(1).argmax(0)[4] == 1


def test_nothing_recorded_is_said():
    with pytest.raises(ValueError, match="no layer was read beside the concepts"):
        recorded([])


def test_one_concept_and_empty_ones_are_refused(lab_backbone):
    for concepts, count in (([], "0 concepts"), (["cat"], "1 concept given")):
        with pytest.raises(ValueError, match=count):
            concept_rows(lab_backbone, concepts)
    with pytest.raises(ValueError, match=r"concept ' ' has no word"):
        concept_rows(lab_backbone, ["cat", " "])


def test_every_token_of_a_concept_is_a_row_of_it_alone(lab_backbone):
    found = concept_rows(lab_backbone, ["cat", "hippopotamus"])
    assert found.counts[0] == len(lab_backbone.tokenize("cat").tokens) and found.counts[1] > found.counts[0]
    alone = lab_backbone.encode_text(["hippopotamus"]).context[0]
    assert torch.equal(found.rows[found.counts[0] :], alone[1 : 1 + found.counts[1]])


@pytest.mark.parametrize("changes", [{"noise": 1.5}, {"noise": float("nan")}, {"draws": 0}, {"temperature": 0.0}])
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ValueError, match=r"noise lies in 0\.\.1"):
        ConceptSettings(**changes)
