import pytest
import torch

from concept_atelier.core.learn.parts.fusion import FusionSettings, cut_out, eroded, fuse, ground

SIZE = (48, 64)
STILL = FusionSettings(turn=0.0, flip=0.0)


@pytest.fixture
def picture():
    """Red on the left, green on the right."""
    picture = torch.zeros(1, 3, *SIZE)
    picture[:, 0, :, :32], picture[:, 1, :, 32:] = 1, 1
    return picture


def box(top, left, height, width):
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[top : top + height, left : left + width] = True
    return mask


@pytest.fixture
def cutouts(picture):
    boxes = ((box(4, 4, 20, 16), "cat"), (box(10, 40, 24, 12), "dog"))
    return [cut_out(picture, mask, index, word, feather=1) for index, (mask, word) in enumerate(boxes)]


def test_a_cutout_is_its_window_and_fades_inwards(picture):
    plain = cut_out(picture, box(4, 4, 20, 16), 3, "cat", feather=0)
    assert plain.picture.shape == (4, 20, 16) and (plain.concept, plain.word) == (3, "cat")
    assert plain.picture[0].eq(1).all() and plain.picture[3].eq(1).all() and not plain.picture[1:3].any()
    soft = cut_out(picture, box(4, 4, 20, 16), 3, feather=2).picture
    assert soft[3, 10, 8] == 1 and 0 < soft[3, 0, 8] < soft[3, 1, 8] < 1
    assert torch.equal(soft[0], soft[3])  # multiplied by its coverage
    with pytest.raises(ValueError, match="empty mask"):
        cut_out(picture, box(0, 0, 0, 0), 0)


def test_masks_say_exactly_where_each_subject_is(cutouts, generator):
    for _ in range(12):
        found = fuse(cutouts, (), SIZE, STILL, generator)
        assert found.picture.shape == (1, 3, *SIZE) and found.masks.shape[1:] == SIZE
        assert (found.masks.sum(0) <= 1).all() and 1 <= len(found.subjects) <= 2
        for (concept, word), mask in zip(found.subjects, found.masks, strict=True):
            inside = found.picture[0][:, eroded(mask[None], 2)[0]]
            assert word == ("cat", "dog")[concept]
            assert inside.shape[1] > 0 and (inside[concept] > 0.9).all() and (inside[1 - concept] < 0.1).all()


def test_later_subjects_cover_earlier_ones(cutouts, generator):
    crowded = FusionSettings(max_subjects=2, sizes=(0.95, 1.0), turn=0.0, flip=0.0, overlap=1.0)
    hidden = [f for f in (fuse(cutouts, (), SIZE, crowded, generator) for _ in range(30)) if len(f.subjects) == 2]
    assert hidden and all((f.masks.sum(0) <= 1).all() for f in hidden)
    first, second = torch.stack([f.masks.sum((1, 2)).float() for f in hidden]).mean(0)
    assert first < second


def test_at_least_one_reference_none_twice_and_never_more_than_the_largest_number(cutouts, picture, generator):
    priors = [cut_out(picture, box(0, 0, 10, 10), None, "cat") for _ in range(4)]
    counts = set()
    for _ in range(60):
        found = fuse(cutouts, priors, SIZE, STILL, generator)
        known = [concept for concept, _ in found.subjects if concept is not None]
        assert 1 <= len(known) == len(set(known)) and len(found.subjects) <= 3
        counts.add((len(known), len(found.subjects) - len(known)))
    assert counts == {(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)}


def test_boxes_keep_their_distance_where_they_can(cutouts, generator):
    apart = FusionSettings(max_subjects=2, sizes=(0.3, 0.4), turn=0.0, overlap=0.0)
    for _ in range(20):
        found = fuse(cutouts, (), SIZE, apart, generator)
        if len(found.subjects) == 2:
            whole = [mask.nonzero() for mask in found.masks]
            (top, left), (bottom, right) = whole[0].amin(0), whole[0].amax(0)
            y, x = whole[1].T
            assert not ((y >= top) & (y <= bottom) & (x >= left) & (x <= right)).any()


def test_turning_keeps_the_size_and_moves_the_subject(cutouts):
    shared = []
    for seed in range(5):
        one, other = (
            fuse(cutouts[:1], (), (64, 64), settings, torch.Generator().manual_seed(seed)).masks
            for settings in (FusionSettings(1, (0.3, 0.3), 45.0, 0.0), FusionSettings(1, (0.3, 0.3), 0.0, 0.0))
        )
        assert 0.7 * other.sum() < one.sum() < 1.1 * other.sum()
        shared.append(float((one & other).sum() / other.sum()))
    assert min(shared) < 0.9


def test_grounds_are_plain_or_clouded_and_seeded():
    flat = [ground(SIZE, torch.Generator().manual_seed(seed)).std((1, 2)).max() < 1e-6 for seed in range(40)]
    assert 10 < sum(flat) < 30
    one, other = (ground(SIZE, torch.Generator().manual_seed(3)) for _ in range(2))
    assert one.equal(other)


def test_erosion_takes_the_edge_but_not_the_pictures():
    masks = torch.stack([box(4, 4, 10, 10), box(0, 0, 10, 10)])
    small = eroded(masks, 2)
    assert small[0].sum() == 36 and small[1].sum() == 64
    assert eroded(masks, 0).equal(masks)


@pytest.mark.parametrize(
    "wrong", [{"max_subjects": 0}, {"sizes": (0.5, 0.4)}, {"turn": -1.0}, {"overlap": 2.0}], ids=str
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError):
        FusionSettings(**wrong)
