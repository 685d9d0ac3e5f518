"""What each node needs of ComfyUI's inside. A new node's entry goes into ``NODES``, under the family of its folder.

A node that needs nothing of the modules ``comfy.*`` has no entry. What a need stands for are the items that name it
(``models.py``, ``prompts.py`` and the other files of this folder).
"""

Need = frozenset[str]

LAB: Need = frozenset({"make the lab model"})
PROGRESS: Need = frozenset({"show progress, and stop when a run is cancelled"})
MODEL: Need = frozenset({"read a MODEL"})
CLIP: Need = frozenset({"read a CLIP"})
PROMPTS: Need = CLIP | {"read and encode prompts"}
MAKE_CONDITIONING: Need = PROMPTS | {"encode prompts as CONDITIONING"}
ENCODE_BEGINNINGS: Need = PROMPTS | {"encode the beginnings of texts"}
PASSES: Need = MODEL | PROMPTS | PROGRESS | {"run a MODEL"}
DECODE: Need = PASSES | {"decode latents"}
NOISE_LEVELS_OF_SAMPLERS: Need = MODEL | {"know the noise levels that samplers visit"}
CHANGE_PICTURE_ENCODER: Need = frozenset({"change what a picture encoder reads"})
PLACES_OF_WORDS: Need = frozenset({"read positions of a picture encoder in the space of texts"})
ATTENTION: Need = MODEL | {"record or change attention layers"}
KEEP_LORAS_TO_REGIONS: Need = ATTENTION | {"keep the change of a LoRA to a region"}
SAMPLING: Need = ATTENTION | {"follow a sampling run"}
CORRECT_SAMPLING: Need = SAMPLING | {"correct what a model predicts in a sampling run"}
GRADIENTS: Need = MODEL | {"take gradients through a model"}
WEIGHTS: Need = MODEL | {"read or change weights"}
SPARSE_WEIGHTS: Need = WEIGHTS | {"add sparse changes to weights"}

NODES: dict[str, dict[str, Need]] = {
    "attribute": {
        "AuditFocus": PASSES | ATTENTION,
        "CaptureAttention": SAMPLING,
        "CompareWords": PASSES | ATTENTION,
        "EditByWords": PASSES | ATTENTION,
        "ShowConceptHeatmap": PASSES | ATTENTION,
        "ShowWordHeatmap": PROMPTS,
        "ShowWordInformation": PASSES,
    },
    "compose": {
        "ComposeConcepts": PROMPTS | SAMPLING | GRADIENTS | KEEP_LORAS_TO_REGIONS,
        "CorrectBySimilarities": PROMPTS,
        "EncodeConceptPrompt": MAKE_CONDITIONING,
        "ReadFoundRegions": SAMPLING,
    },
    "data": {
        "CaptionNoise": PROMPTS | PROGRESS,
    },
    "erase": {
        "AttackErasure": DECODE | ATTENTION | GRADIENTS | WEIGHTS,
        "EraseConcepts": ENCODE_BEGINNINGS | WEIGHTS | PROGRESS,
        "ErasureReport": DECODE,
        "GuardAgainstConcepts": PASSES | CORRECT_SAMPLING,
        "InvertPicture": DECODE | NOISE_LEVELS_OF_SAMPLERS,
        "LoadErasure": WEIGHTS,
        "PurifyPicture": DECODE | ATTENTION | NOISE_LEVELS_OF_SAMPLERS,
        "SuggestRelatedWords": PROMPTS,
        "TrainErasure": PASSES | WEIGHTS,
    },
    "evaluate": {
        "LoadConceptPrototypes": PROGRESS,
        "ScoreConcepts": DECODE,
    },
    "explain": {
        "FindIngredients": PROGRESS,
        "IngredientImportance": PASSES | ATTENTION | CHANGE_PICTURE_ENCODER,
        "LoadPictureFolder": PROGRESS,
        "ReadRecording": PASSES | ATTENTION,
        "RecordActivations": PASSES | ATTENTION,
        "RecordWhileSampling": CORRECT_SAMPLING,
        "ShowIngredients": PROMPTS | PROGRESS,
        "SteerIngredients": PASSES | CORRECT_SAMPLING,
    },
    "lab": {
        "LoadLabModel": LAB,
    },
    "learn": {
        "LearnConceptTokens": DECODE | ATTENTION | GRADIENTS | WEIGHTS,
        "LoadConceptTokens": CLIP,
    },
    "localize": {
        "ConceptsFromMasks": PASSES | ATTENTION,
        "LocalizeConcepts": PASSES | ATTENTION,
        "LocalizeWords": PASSES | ATTENTION,
        "MatchConcepts": PASSES | ATTENTION,
    },
    "prompts": {
        "AttentionLocality": PASSES | SAMPLING,
        "ChunkPrompt": MAKE_CONDITIONING,
        "SentenceConcepts": MAKE_CONDITIONING,
    },
    "recognise": {
        "AlignTextAndPictures": PROMPTS | PROGRESS,
        "CheckPixels": PROMPTS,
        "ClassifyByConceptMatrix": PROMPTS | PROGRESS,
        "CompleteCaptions": PROMPTS | PROGRESS,
        "ConceiveAndSegment": PROMPTS | PROGRESS | PLACES_OF_WORDS,
        "FindMySubject": PROGRESS,
        "LintConcepts": PROMPTS | PROGRESS,
        "PairEncoders": PROMPTS,
        "PickDiversePrompts": PROMPTS,
        "ScoreByConceptHead": PROGRESS,
        "ScoreByConcepts": PROMPTS | PROGRESS,
        "TrainConceptHead": PROMPTS | PROGRESS,
    },
    "surgery": {
        "ApplyHeadOffsets": SPARSE_WEIGHTS,
        "AuditErasureInside": PASSES | WEIGHTS,
        "CalibrateSkill": PASSES | SPARSE_WEIGHTS,
        "EditConceptVectors": PROMPTS | WEIGHTS,
        "FindConceptVectors": PROMPTS | WEIGHTS,
        "GraftSkill": DECODE | SPARSE_WEIGHTS,
        "LocalizeSkill": SPARSE_WEIGHTS | PROGRESS,
        "ProbeLayers": PASSES,
        "ScoutHeads": PASSES,
        "SlimLora": WEIGHTS | PROGRESS,
        "StitchSkills": SPARSE_WEIGHTS,
        "SubtractSkill": SPARSE_WEIGHTS,
        "TrainHeadOffsets": PASSES | ATTENTION | GRADIENTS | WEIGHTS,
    },
}
"""Family (a folder of ``nodes/``) to the class names of its nodes, each with all that it needs."""


def nodes_that(need: Need) -> tuple[str, ...]:
    """Class names of the nodes that need this, in the order of ``NODES``."""
    return tuple(name for family in NODES.values() for name, needs in family.items() if need <= needs)
