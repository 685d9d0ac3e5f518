import torch

from concept_atelier.core.learn.engine.passes import counted_passes


def test_every_sample_counts_once_and_only_inside(lab_backbone):
    def run(rows):
        conditioning = lab_backbone.encode_text(["a cat"] * rows)
        return lab_backbone.predict_noise(torch.zeros(rows, 4, 4, 4), torch.full((rows,), 9), conditioning)

    with counted_passes(lab_backbone) as passes:
        run(3)
        run(2)
    run(1)
    assert passes.count == 5


def test_counting_changes_nothing(lab_backbone):
    def run():
        return lab_backbone.predict_noise(
            torch.ones(1, 4, 4, 4), torch.tensor([9]), lab_backbone.encode_text(["a cat"])
        )

    with counted_passes(lab_backbone):
        inside = run()
    assert torch.equal(inside, run())
