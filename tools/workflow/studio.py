"""What every workflow of the pack is made of: its steps, loaders, pictures, and the blocks that find and draw."""

from collections.abc import Mapping
from dataclasses import dataclass

from .block import Block
from .sheet import Out, Sheet
from .variant import Checkpoint, Parts, Variant
from .variants import OWN_LORA, PAIR, VISION

PARTS = {"model": "MODEL", "clip": "CLIP", "vae": "VAE"}
FINE_TUNES = (("cat", "dog"), ("rocket", "tree"))
"""What the fine-tunes of the lab model no longer draw, and what they draw instead."""
SIZED = ("EmptyLatentImage", "ImageScale", "ConceptAtelierEditByWords", "ConceptAtelierLoadPictureFolder")
"""Nodes that say how large pictures are."""
SIZED_BY_SETTINGS = ("ConceptAtelierAttackErasure", "ConceptAtelierErasureReport", "ConceptAtelierGraftSkill")
"""Nodes whose settings do."""
FIRST_INSIDE = 101
"""The id of the first node inside a block, and how far the next block's is from it: all ids differ."""


@dataclass
class Studio:
    """A sheet, the variant it is drawn for, and what every workflow is made of."""

    sheet: Sheet
    variant: Variant
    name: str
    note_height: int = 88

    def __post_init__(self) -> None:
        self.sheet.at_the_end = self._say_sizes

    def step(self, title: str, headline: str, note: str, below: int | None = None, draws: bool = True) -> None:
        """Begin a step as :meth:`.sheet.Sheet.step` does; the first note ends with what the variant says of its model,
        where the workflow ``draws`` with one."""
        number = len(self.sheet.steps) + 1
        text = f"{note} {self.variant.note}" if number == 1 and draws else note
        self.sheet.step(f"{number} {title}", headline, text.strip(), self.note_height, below)

    def _say_sizes(self) -> None:
        """Say in the first note where other models of the variant's kind need another size, if they do."""
        note, places = self.sheet.nodes[0], self._places_of_size()
        text = note["widgets_values"][0]
        if self.variant.sizes and places and text.endswith(self.variant.note):
            note["widgets_values"] = [f"{text} {self.variant.sizes}: set the size {places}."]

    def _places_of_size(self) -> str:
        """Where the workflow says how large pictures are, in words; empty where it does nowhere."""
        blocks = {block.id for block in self.sheet.blocks if any(node["type"] in SIZED for node in block.nodes)}
        places = []
        for node in self.sheet.nodes:
            kind, title = node["type"], node.get("title")
            if kind in blocks:
                places.append(f"inside **{title.partition(':')[0]}**")
            elif kind in SIZED + SIZED_BY_SETTINGS:
                named = f"**{title or self.sheet.registry.schema(kind).display_name}**"
                places.append(f"in {named}" if kind in SIZED else f"in the settings of {named} (side=1024)")
        *others, last = dict.fromkeys(places) or [""]
        return f"{', '.join(others)} and {last}" if others else last

    def load(self, column: int = 0) -> list[Out]:
        """MODEL, CLIP and VAE."""
        files = self.variant.files
        if files is None:
            return self.sheet.add("ConceptAtelierLoadLabModel", column, denoiser=self.variant.denoiser)
        if isinstance(files, Checkpoint):
            return self.sheet.add("CheckpointLoaderSimple", column, ckpt_name=files.name)
        return self.sheet.add_block(self.loader(files), column, f"Load {files.family}")

    def loader(self, files: Parts) -> Block:
        """From files to MODEL, CLIP and VAE of a transformer."""
        block = self.block("Load the parts")
        (loaded,) = block.add("UNETLoader", 0, unet_name=files.model)
        (model,) = block.add("ModelSamplingAuraFlow", 0, model=loaded, shift=files.shift)
        (clip,) = block.add("CLIPLoader", 1, clip_name=files.text_encoder, type=files.kind)
        (vae,) = block.add("VAELoader", 1, vae_name=files.vae)
        for name, part in zip(PARTS, (model, clip, vae), strict=True):
            block.leave(name, part)
        return block

    def vision(self, column: int) -> Out:
        """CLIP_VISION. A note says which file it is: :attr:`vision_file`."""
        if self.variant.is_lab:
            (vision,) = self.sheet.add("ConceptAtelierLoadLabClipVision", column)
        else:
            (vision,) = self.sheet.add("CLIPVisionLoader", column, clip_name=VISION)
        return vision

    @property
    def vision_file(self) -> str:
        """For a note: which file :meth:`vision` loads; empty for the lab's."""
        if self.variant.is_lab:
            return ""
        return (
            " Put a CLIP vision file, such as CLIP ViT-H/14, into the folder models/clip_vision and choose it in "
            "**Load CLIP Vision**."
        )

    def pair(self, column: int, clip: Out | None = None) -> dict[str, Out]:
        """CLIP_VISION and the CLIP that was trained with it, by the names of inputs; ``clip`` is the lab's, where it is
        loaded already. A note says which file holds them: :attr:`pair_file`."""
        if self.variant.is_lab:
            clip = clip or self.load(column)[1]
            return {"clip_vision": self.vision(column), "clip": clip}
        (vision,) = self.sheet.add("CLIPVisionLoader", column, clip_name=PAIR)
        (text,) = self.sheet.add("CLIPLoader", column, clip_name=PAIR, type="stable_diffusion")
        return {"clip_vision": vision, "clip": text}

    @property
    def pair_file(self) -> str:
        """For a note: which file :meth:`pair` loads, and from where; empty for the lab's."""
        if self.variant.is_lab:
            return ""
        return (
            " Put CLIP ViT-L/14 (model.safetensors of openai/clip-vit-large-patch14) into both models/clip_vision and "
            "models/text_encoders, and choose it in **Load CLIP Vision** and **Load CLIP**."
        )

    def fine_tune(self, column: int, model: Out, clip: Out, number: int | None = None) -> tuple[Out, Out]:
        """MODEL and CLIP of a fine-tune, or of one of two: a LoRA file, or on the lab model, which has none, an
        erasure."""
        which = None if number is None else ("First", "Second")[number]
        if not self.variant.is_lab:
            title, name = (f"{which} LoRA", f"{which.lower()}.safetensors") if which else ("The LoRA", OWN_LORA)
            changed, text = self.sheet.add("LoraLoader", column, title, model=model, clip=clip, lora_name=name)
            return changed, text
        gone, instead = FINE_TUNES[number or 0]
        kept = ["cat", *self.variant.words.preserved.split(", ")]
        texts = {"concepts": gone, "anchors": instead, "preserve": ", ".join(word for word in kept if word != gone)}
        wires = {"model": model, "clip": clip}
        title = f"{which}: {gone}s as {instead}s" if which else f"{gone.capitalize()}s as {instead}s"
        changed, _, text = self.sheet.add(
            "ConceptAtelierEraseConcepts", column, title, collapsed=True, **wires, **texts, **self.variant.erase
        )
        return changed, text

    def picture(self, name: str = "two_things.png", title: str | None = None, column: int = 0) -> Out:
        """A picture to take apart; ``name`` is that of the lab's."""
        shown = name if self.variant.is_lab else "example.png"
        image, _ = self.sheet.add("LoadImage", column, title, image=shown)
        return image

    def scaled(self, sheet: Sheet, image: Out, collapsed: bool = True) -> Out:
        """A picture in the variant's size."""
        if self.variant.is_lab:
            return image
        side = self.variant.side
        scaling = {"upscale_method": "lanczos", "width": side, "height": side, "crop": "center"}
        (scaled,) = sheet.add("ImageScale", 0, "Resize the picture", image=image, collapsed=collapsed, **scaling)
        return scaled

    def latent(self, sheet: Sheet, column: int, batch: int | None = None) -> Out:
        """Empty latents, as many as the variant draws of a prompt unless another number is given."""
        side, batch = self.variant.side, batch or self.variant.batch
        node = "EmptySD3LatentImage" if isinstance(self.variant.files, Parts) else "EmptyLatentImage"
        (latent,) = sheet.add(node, column, width=side, height=side, batch_size=batch)
        return latent

    def sample(
        self, sheet: Sheet, column: int, vae: Out, title: str | None = None, seed: int = 7, **wires: Out
    ) -> tuple[Out, Out]:
        """A KSampler's latents, and the pictures they decode to."""
        (samples,) = sheet.add("KSampler", column, title, **wires, seed=seed, denoise=1.0, **self.variant.sampling)
        (pictures,) = sheet.add("VAEDecode", column + 1, samples=samples, vae=vae)
        return samples, pictures

    def block(self, name: str) -> Block:
        """A new subgraph, its nodes numbered apart from all others."""
        return Block(self.sheet.registry, first=FIRST_INSIDE * (1 + len(self.sheet.blocks)), name=name)

    def finder(self) -> Block:
        """From a picture to its concepts, and to it in another size where the variant asks for one."""
        block = self.block("Find the things")
        wires = {name: block.enter(name, kind) for name, kind in PARTS.items()}
        given = block.enter("image", "IMAGE")
        wires["image"] = self.scaled(block, given, collapsed=False)
        found, *_ = block.add("ConceptAtelierLocalizeConcepts", 1, **wires, **self.variant.localize)
        block.leave("concepts", found)
        if wires["image"] != given:  # the page refuses an output that is an input, unchanged
            block.leave("picture", wires["image"])
        return block

    def learner(self) -> Block:
        """From a picture and a word to the files of what is learnt of it: a LoRA and a token, named by the word."""
        block = self.block("Learn")
        wires = {name: block.enter(name, kind) for name, kind in PARTS.items()}
        image, word = block.enter("image", "IMAGE"), block.enter("word", "STRING")
        wires["image"] = self.scaled(block, image, collapsed=False)
        found, *_ = block.add("ConceptAtelierLocalizeWords", 0, **wires, words=word, **self.variant.localize_words)
        learnt = self.variant.learn_lora
        tokens, *_ = block.add("ConceptAtelierLearnConceptTokens", 1, **wires, concepts=found, **learnt)
        (lora,) = block.add("ConceptAtelierSaveAdapterAsLora", 2, tokens=tokens, name=word)
        (token,) = block.add("ConceptAtelierSaveConceptTokens", 2, tokens=tokens)
        block.leave("LoRA", lora)
        block.leave("token", token)
        return block

    def drawer(self, *models: str, batch: int | None = None, seed: int = 7) -> Block:
        """From a prompt's conditioning to pictures, with each of these models from the same noise, which has this
        ``seed``; ``batch`` as :meth:`latent` has it."""
        alone = len(models) == 1
        block = self.block("Draw" if alone else "Draw with both models")
        inputs = [block.enter(name, "MODEL") for name in models]
        clip, vae = block.enter("clip", "CLIP"), block.enter("vae", "VAE")
        positive = block.enter("positive", "CONDITIONING")
        (negative,) = block.add("CLIPTextEncode", 0, "Negative prompt", clip=clip, text="")
        latent = self.latent(block, 0, batch)
        wires = {"positive": positive, "negative": negative, "latent_image": latent}
        drawn = [
            self.sample(block, 1, vae, None if alone else f"With the {name}", seed, model=m, **wires)[1]
            for name, m in zip(models, inputs, strict=True)
        ]
        for name, pictures in zip(("pictures",) if alone else ("before", "after"), drawn, strict=True):
            block.leave(name, pictures)
        return block

    def comparer(self, *names: str) -> Block:
        """From a prompt to pictures by several models, each with its own text encoder, from the same noise."""
        block = self.block(f"Draw {len(names)} ways")
        pairs = {n: (block.enter(f"model {n}", "MODEL"), block.enter(f"clip {n}", "CLIP")) for n in names}
        text, vae = block.enter("text", "STRING"), block.enter("vae", "VAE")
        latent = self.latent(block, 0)
        for name, (model, clip) in pairs.items():
            (positive,) = block.add("CLIPTextEncode", 0, f"Prompt: {name}", clip=clip, text=text)
            (negative,) = block.add("CLIPTextEncode", 1, "Negative prompt", clip=clip, text="")
            wires = {"model": model, "positive": positive, "negative": negative, "latent_image": latent}
            _, pictures = self.sample(block, 2, vae, f"Draw: {name}", **wires)
            block.leave(name, pictures)
        return block

    def draw_with_tokens(
        self, prompts: Mapping[str, tuple[str, str]], clip: Out, vae: Out, tokens: Out, model: Out
    ) -> None:
        """A step with a strip for every prompt: it, a block that draws it, what was drawn; file prefix to title and
        text."""
        self.step(
            "Draw with them",
            "Write <1> for the first thing and <2> for the second.",
            "The numbers follow the order of the things, whatever they are called; use only numbers that have a "
            "thing. To change the seed, steps or size of both, open one of the **Draw** blocks.",
        )
        block = self.drawer("model")
        for column, (prefix, (title, text)) in enumerate(prompts.items()):
            (positive,) = self.sheet.add(
                "ConceptAtelierEncodeConceptPrompt", column, f"Prompt: {title}", clip=clip, tokens=tokens, text=text
            )
            wires = {"model": model, "clip": clip, "vae": vae, "positive": positive}
            (pictures,) = self.sheet.add_block(block, column, f"Draw: {title}", **wires)
            self.sheet.add("SaveImage", column, f"Save: {title}", images=pictures, filename_prefix=prefix)


def wires_of(parts: Mapping[str, tuple[Out, Out]]) -> dict[str, Out]:
    """MODEL and CLIP by name, for :meth:`Studio.comparer`'s block."""
    return {
        f"{kind} {name}": out for name, both in parts.items() for kind, out in zip(("model", "clip"), both, strict=True)
    }
