"""The families whose denoiser is a UNet."""

from .records import ModelFamily

UNETS = (
    ModelFamily("sd15", "Stable Diffusion 1.x", 4, 0.18215, ("clip_l",)),
    ModelFamily("sd2", "Stable Diffusion 2.x", 4, 0.18215, ("clip_h",)),
    ModelFamily("sdxl", "Stable Diffusion XL", 4, 0.13025, ("clip_l", "clip_g"), pooled_text=True),
    ModelFamily("lab", "the lab model", 4, 0.18215, ("clip_l",)),
)
