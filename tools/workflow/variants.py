"""For which models the example workflows are drawn: the lab's, a checkpoint of the user's own, and a transformer."""

from dataclasses import replace

from ...core.localize.parts.settings import PAPER
from .variant import Checkpoint, Ingredient, Parts, Variant, Words

LAB = Variant(
    suffix="",
    files=None,
    side=128,
    batch=4,
    picture="The picture comes with the pack.",
    note="",
    words=Words(
        scene="a cat and a rocket on blue",
        looked_up="cat, rocket, blue",
        things="cat, rocket",
        exchanged="a dog and a rocket on blue",
        new_scene="<1> and <2> on white",
        together="a photo of <1> and <2>",
        erased="cat, kitty, kitten",
        preserved="dog, lion, fox, rabbit, panda, rocket, apple, house, car, tree, crab, fish",
        before_after={word: f"a photo of a {word}" for word in ("cat", "dog", "rocket")},
        style="sketch style",
        style_anchor="flat style",
        kept_beside_style="cat, dog, rocket, apple, house, car, tree, neon style, outline style",
        in_styles={
            "sketch": "a cat in sketch style",
            "neon": "a cat in neon style",
            "plain": "a photo of a cat",
        },
        attacked="elephant",
        near="lion, panda",
        others="dog, house, car, tree",
        purified="pig",
        of_two_pictures=("cat", "rocket"),
        ground="red",
        drawn="a cat and a rocket",
        judged="\n".join(f"{style}: cat, rocket" for style in ("neon", "flat", "outline", "sketch")),
        judged_template="a {concept} in {class} style",
        wanted="neon",
        phrased="a red cat and a rocket in neon style",
        phrase_weights="style: 0",
        tastes="flat, outline, neon, sketch, red, green, blue, yellow, purple, pink, animal, fruit, vehicle",
        tuned="a photo of a cat",
        masked=Ingredient("9", "a lemon", "lemon"),
        steered=Ingredient("16", "a horse", "horse", {"horse": "a photo of a horse", "lemon": "a photo of a lemon"}),
        compared="a horse and a lemon",
    ),
    sampling={"steps": 20, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal"},
    learn_lora={"method": "attencraft", "preset": "small", "seed": 2},
    compose={"method": "localized_refinement"},
    compose_loras={"method": "concept_conductor", "preset": "small"},
    score={"steps": 12, "guidance": 3.5},
    train_erasure={"method": "few_shot", "preview_every": 10, "keep_every": 10},
    ingredients={"count": 24, "method": "ra_sae"},
    audited={"count": 24, "method": "ra_sae"},
    steer={"threshold": 0.2},
    repaint={"noise": 0.25},
    guard={"strength": 1.5},
    purify={"settings": "spread=2"},
    attack={"settings": "shown=4, steps=10, learn_steps=100"},
    report={"settings": "draws=3, steps=10"},
    skill={"share": 50.0},
    graft={"shares": "1, 5, 20, 50"},
)
TRANSFORMERS = ("see_where_words_land", "take_a_picture_apart", "erase_a_concept", "train_an_erasure")
"""Workflows that there are of transformers."""
LAB_TRANSFORMER = replace(
    LAB,
    suffix=" (lab transformer)",
    denoiser="transformer",
    note="**Load Lab Model** loads the lab's transformer, which is built as FLUX.1 is.",
    learn={"method": "attencraft"},
    train_erasure={"method": "esd", "preset": "small_transformer", "preview_every": 20, "keep_every": 10},
    names=TRANSFORMERS,
)
CHECKPOINT = Variant(
    suffix=" (checkpoint)",
    files=Checkpoint("v1-5-pruned-emaonly-fp16.safetensors"),
    side=512,
    batch=2,
    picture="Choose a picture of two things, or set **count** to their number; 0 lets the node decide.",
    note="Choose an SD 1.5 file in **Load Checkpoint**.",
    sizes="SDXL takes 1024 pixels, SD 2 takes 768, and SD 2-base takes 512",
    words=Words(
        scene="a photo of a cat and a red bicycle in a garden",
        looked_up="cat, bicycle, garden",
        things="cat, bicycle",
        exchanged="a photo of a dog and a red bicycle in a garden",
        new_scene="<1> and <2> on a beach at sunset",
        together="<1> and <2> on a beach at sunset",
        erased="cat, kitten",
        preserved="dog, horse, rabbit, lion, tiger, fox, bird, person, car, house, tree, flower",
        before_after={
            "cat": "a photo of a cat on a sofa",
            "dog": "a photo of a dog on a sofa",
            "horse": "a photo of a horse on a meadow",
        },
        style="Van Gogh",
        style_anchor="painting",
        kept_beside_style="Monet, Picasso, Rembrandt, Hokusai, house, street, tree, person",
        in_styles={
            "Van Gogh": "a village street by Van Gogh",
            "Monet": "a village street by Monet",
            "plain": "a photo of a village street",
        },
        attacked="cat",
        near="tiger, fox",
        others="dog, horse, car, house",
        purified="cat",
        of_two_pictures=("cat", "bicycle"),
        ground="a meadow",
        drawn="a cat on a bicycle",
        judged="\n".join(
            f"{style}: cat, bicycle" for style in ("watercolor", "photo", "pencil drawing", "oil painting")
        ),
        judged_template="a {class} of a {concept}",
        wanted="watercolor",
        phrased="a red cat with a hat and a bicycle in watercolor style",
        phrase_weights="hat: 1.3\nstyle: 0.5",
        tastes="rim light, fog, teal, orange, soft light, hard shadows, night, snow, forest, city, portrait, "
        "close-up, wide view, watercolor, oil painting, sketch, photograph, anime, film grain, minimal, ornate",
        tuned="a photo of a cat on a sofa",
        masked=Ingredient("1", "the ingredient", "thing"),
        steered=Ingredient(
            "1", "the ingredient", "thing", {"dog": "a photo of a dog on a sofa", "cat": "a photo of a cat on a sofa"}
        ),
        compared="a photo of a woman and a dog in a park",
    ),
    sampling={"steps": 25, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal"},
    localize={
        "preset": "paper",
        "saliency_threshold": PAPER.saliency_threshold,
        "merge_threshold": PAPER.merge_threshold,
        "count": 2,
    },
    localize_words={"preset": "paper"},
    learn={
        "preset": "paper",
        "preview_every": 100,
    },
    score={"steps": 50, "guidance": 7.5},
    erase={"preset": "paper"},
    train_erasure={
        "method": "few_shot",
        "preset": "paper",
        "settings": "retain=10",
        "preview_every": 2,
        "keep_every": 2,
    },
    learn_lora={"method": "attencraft", "preset": "paper", "preview_every": 100},
    compose={"preset": "paper"},
    compose_loras={"method": "concept_conductor", "preset": "paper"},
    attack={"preset": "paper"},
    report={"preset": "paper", "settings": "draws=4"},
    ingredients={"count": 24},
    audited={"count": 128, "method": "ra_sae"},
    repaint={"preset": "paper", "noise": 1.0},
    guard={"preset": "paper"},
    purify={"preset": "paper", "noise": 0.6},
    skill={"share": 20.0},
    graft={"preset": "paper", "settings": "draws=2"},
)
Z_IMAGE = replace(
    CHECKPOINT,
    suffix=" (Z-Image)",
    files=Parts("Z-Image", "z_image_turbo_bf16.safetensors", "qwen_3_4b.safetensors", "lumina2", "ae.safetensors", 3.0),
    side=1024,
    batch=1,
    note="**Load Z-Image** names the files of ComfyUI's own template; open it for others.",
    sizes="",
    sampling={"steps": 9, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple"},
    learn={"method": "cones", "preset": "paper", "preview_every": 100},
    train_erasure={
        "method": "esd",
        "preset": "paper",
        "settings": "layers=text, retain=1, guidance=1, sampling_steps=9",
        "preview_every": 50,
    },
    names=TRANSFORMERS,
)
VARIANTS = (LAB, LAB_TRANSFORMER, CHECKPOINT, Z_IMAGE)
VISION = "clip_vision_h.safetensors"
"""A file of the clip_vision folder, for checkpoints."""
PAIR = "clip-vit-large-patch14.safetensors"
"""A file that holds a picture encoder and the text encoder that was trained with it, in the folders clip_vision and
text_encoders."""
OWN_LORA = "my_lora.safetensors"
"""A LoRA of the user's own, for checkpoints."""
