"""What Capture Attention records of transformers where pictures are large, or reference pictures stand beside them."""

import pytest
import torch


def test_pictures_beyond_2048_pixels_are_recorded(model_of, run, sample):
    captured, recorded = run("CaptureAttention", model=model_of("flux"), blocks="0")
    sample("flux", captured, size=(16, 260), steps=1, cfg=1.0)
    assert list(recorded.maps().cross) == [(8, 130)]


def test_the_message_names_the_inputs_where_nothing_fits(model_of, run, sample, clip_of):
    captured, recorded = run("CaptureAttention", model=model_of("flux"), least_grid=16)
    samples = sample("flux", captured, steps=1, cfg=1.0)
    with pytest.raises(ValueError, match="no attention was recorded.*least_grid, greatest_grid, stages, start_percent"):
        run("ShowWordHeatmap", capture=recorded, clip=clip_of("flux"), samples={"samples": samples}, text="a cat")


@pytest.mark.parametrize("reference", [(6, 6), (12, 12)], ids=str)
def test_reference_pictures_of_z_image_are_not_taken_for_text(model_of, run, sample, small, reference):
    """A refiner then has as many rows as a block has without a reference: 32 and 32."""
    model, text = model_of("z_image"), small.conditioning("z_image")
    latent = torch.randn(1, 16, *reference, generator=torch.Generator().manual_seed(3))
    positive = [[text[0][0], text[0][1] | {"reference_latents": [latent]}]]
    captured, recorded = run("CaptureAttention", model=model, least_grid=1)
    drawn = sample("z_image", captured, positive=positive, cfg=1.0)
    assert torch.equal(drawn, sample("z_image", model, positive=positive, cfg=1.0))
    assert recorded.runs[-1].parts == ()
    assert "reference pictures of Z-Image" in recorded.runs[-1].missed[0]
