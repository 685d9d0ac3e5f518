"""Tokens scored from end to end: over the lab model at random weights, and a picture encoder that sees colours only."""

from types import SimpleNamespace

import pytest
import torch

from concept_atelier.core.evaluate.prototypes import Prototypes
from concept_atelier.core.types import Concepts, ConceptTokens
from concept_atelier.host.jobs.contact_sheet import GROUND, Caption, Row, contact_sheet, score_sheet
from concept_atelier.host.jobs.evaluate.concept_drawing import DrawSettings
from concept_atelier.host.jobs.evaluate.evaluation import Evaluation, SourceSettings, concept_sources, evaluate

SIZE = (32, 48)


@pytest.fixture
def colours():
    """A CLIP_VISION whose features are a picture's mean colour."""
    return SimpleNamespace(encode_image=lambda image, crop: SimpleNamespace(image_embeds=image.mean((1, 2)) + 1e-3))


@pytest.fixture
def picture():
    """Red on the left, green on the right, blue between."""
    picture = torch.zeros(1, 3, *SIZE)
    picture[:, 0, :, :16], picture[:, 2, :, 16:32], picture[:, 1, :, 32:] = 1, 1, 1
    return picture


@pytest.fixture
def concepts():
    masks = torch.zeros(3, 4, 6, dtype=torch.bool)
    for number in range(3):
        masks[number, :, 2 * number : 2 * number + 2] = True
    return Concepts(
        masks, masks.float() / masks.float().sum((1, 2), keepdim=True), ("r", "b", "g"), torch.ones(3), SIZE
    )


@pytest.fixture
def tokens(lab_backbone):
    return ConceptTokens({"g": lab_backbone.word_vectors("cat"), "r": lab_backbone.word_vectors("rocket")}, "lab")


@pytest.fixture
def scored(lab_backbone, colours, picture, concepts, tokens):
    def go(**changes):
        given = {"vision": colours, "picture": picture, "concepts": concepts, "tokens": tokens, "others": None}
        given |= {"drawing": DrawSettings(draws=2, steps=1), "comparing": SourceSettings("black")} | changes
        return evaluate(
            lab_backbone,
            given["vision"],
            given["picture"],
            given["concepts"],
            given["tokens"],
            given["drawing"],
            given["comparing"],
            given["others"],
            lambda *at: None,
        )

    return go


def test_sources_are_the_concepts_alone(picture, concepts):
    red, blue, green = concept_sources(picture, concepts, SourceSettings("black"))
    for source, channel in ((red, 0), (blue, 2), (green, 1)):
        assert source.shape == (3, *SIZE)
        assert source[channel].mean() == pytest.approx(1 / 3) and source.sum() == source[channel].sum()


def test_cropped_sources_are_squares_of_the_shorter_side(picture, concepts):
    sources = concept_sources(picture, concepts, SourceSettings("grey", crop=True))
    assert sources.shape == (3, 3, 32, 32)
    assert torch.allclose(sources[0, :, 16, 16], torch.tensor([1.0, 0.0, 0.0]), atol=1e-5)
    assert torch.allclose(sources[0, :, 16, 0], torch.full((3,), 0.5), atol=1e-5)


def test_tokens_are_scored_and_concepts_without_one_are_candidates(scored):
    done = scored()
    assert done.scores.names == ("g", "r") and done.scores.candidates == ("g", "r", "b")
    assert done.sources.shape == (2, 3, *SIZE) and done.drawn.shape == (2, 2, 3, *SIZE)
    assert done.joint.shape == (2, 3, *SIZE) and done.all_pictures().shape == (6, *SIZE, 3)
    assert done.all_pictures()[2].equal(done.drawn[1, 0].movedim(0, -1))


def test_scores_are_cosines_of_what_the_encoder_says(scored):
    done, unit = scored(), torch.nn.functional.normalize

    def seen(pictures):
        return unit(pictures.mean((-2, -1)) + 1e-3, dim=-1)

    wanted = (seen(done.drawn) * seen(done.sources)[:, None]).sum(-1)
    assert torch.allclose(done.scores.own, wanted, atol=1e-5)
    assert torch.allclose(done.scores.composition, seen(done.joint) @ seen(done.picture)[0], atol=1e-5)


def test_further_candidates_are_joined_and_the_pictures_own_win_names(scored):
    others = Prototypes(("g", "white"), torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))
    done = scored(others=others)
    assert done.scores.candidates == ("g", "r", "b", "white")
    assert torch.allclose(done.scores.similarity[..., :3], scored().scores.similarity, atol=1e-5)


def test_the_same_seed_the_same_scores(scored):
    assert scored().scores.similarity.equal(scored().scores.similarity)
    other = scored(drawing=DrawSettings(draws=2, steps=1, seed=9))
    assert not torch.allclose(other.scores.similarity, scored().scores.similarity)


def test_strangers_are_refused_before_anything_is_drawn(scored, tokens, concepts):
    strange = ConceptTokens({"owl": tokens.vectors["r"]}, "lab")
    with pytest.raises(ValueError, match="owl are none of the concepts r, b, g"):
        scored(tokens=strange)
    with pytest.raises(ValueError, match="8x8 pixels"):
        scored(picture=torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="needs exactly one"):
        scored(drawing=DrawSettings(template="a photo"))
    empty = Concepts(torch.zeros(1, 4, 6, dtype=torch.bool), torch.ones(1, 4, 6) / 24, ("r",), torch.ones(1), SIZE)
    with pytest.raises(ValueError, match="mask of r is empty"):
        scored(concepts=empty, tokens=ConceptTokens({"r": tokens.vectors["r"]}, "lab"))


def test_the_sheet_shows_sources_and_pictures_where_they_belong(scored):
    sheet = score_sheet(scored())
    assert sheet.shape[0] == 1 and sheet.shape[-1] == 3 and 0 <= sheet.min() <= sheet.max() <= 1
    ground = torch.tensor(GROUND) / 255
    share = (sheet[0] - ground).abs().amax(-1).gt(0.02).float().mean()
    assert 0.3 < float(share) < 0.95


def test_pictures_stand_in_their_cells_and_captions_under_them():
    red, lime = torch.zeros(3, 10, 20), torch.zeros(3, 20, 10)
    red[0], lime[1] = 1, 1
    row = Row(
        "title", (0, 0, 255), red, torch.stack([lime] * 9), [Caption("x", wrong=index == 8) for index in range(9)]
    )
    sheet = contact_sheet([row, row])[0]

    def where(colour):
        hit = (sheet - torch.tensor(colour)).abs().amax(-1) < 0.02
        return hit, int(hit.sum())

    hit, count = where([0.0, 1.0, 0.0])
    assert count == 2 * 9 * 154 * 77  # nine to a row, in two lines, each in its own shape
    assert len(torch.unique_consecutive(hit.any(1))) - 1 == 2 * 4
    _, sources = where([1.0, 0.0, 0.0])
    assert sources == 2 * 154 * 77
    assert where([0.0, 0.0, 1.0])[1] == 2 * (160 * 83 - 154 * 77)
    orange, _ = where([1.0, 160 / 255, 60 / 255])
    assert orange.any() and not orange[: sheet.shape[0] // 4].any()


def test_a_source_without_pictures_beside_it_is_shown_whole():
    red = torch.zeros(3, 16, 16)
    red[0] = 1
    row = Row("found in one", (0, 0, 255), red, torch.zeros(0, 3, 16, 16), [])
    sheet = contact_sheet([row, row])[0]
    seen = (sheet - torch.tensor([1.0, 0.0, 0.0])).abs().amax(-1) < 0.02
    assert int(seen.sum()) == 2 * 154 * 154


def test_long_captions_are_cut_to_their_picture():
    row = Row("t", (0, 0, 255), torch.zeros(3, 8, 8), torch.zeros(2, 3, 8, 8), [Caption("w" * 200)] * 2)
    short = Row("t", (0, 0, 255), torch.zeros(3, 8, 8), torch.zeros(2, 3, 8, 8), [Caption("")] * 2)
    written = (contact_sheet([row]) - contact_sheet([short]))[0].abs().sum((0, 2)) > 0
    assert written.any() and not written[-6:].any() and not written[:160].any()
    assert len(torch.unique_consecutive(written[172:350])) >= 3


def test_an_evaluation_is_made_of_its_parts(scored):
    done = scored(comparing=SourceSettings("black", average=True))
    assert isinstance(done, Evaluation) and done.scores.average
    assert set(done.scores.accuracy(1).tolist()) <= {0.0, 1.0}
