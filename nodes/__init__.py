"""The pack's nodes: thin V3 classes over ``core`` by way of ``host``. No maths here."""

from ..host.given import checked
from ..host.schema import io
from .capture_attention import CaptureAttention
from .concept_token_files import LoadConceptTokens, SaveConceptTokens
from .concepts_from_masks import ConceptsFromMasks
from .edit_concepts import EditConcepts
from .encode_concept_prompt import EncodeConceptPrompt
from .erase_concepts import EraseConcepts, SaveErasureAsLora
from .learn_concept_tokens import LearnConceptTokens
from .load_concept_prototypes import LoadConceptPrototypes
from .load_lab_clip_vision import LoadLabClipVision
from .load_lab_model import LoadLabModel
from .localize_concepts import LocalizeConcepts
from .localize_words import LocalizeWords
from .match_concepts import MatchConcepts
from .save_adapter_as_lora import SaveAdapterAsLora
from .score_concepts import ScoreConcepts
from .show_word_heatmap import ShowWordHeatmap

_ALL: tuple[type[io.ComfyNode], ...] = (
    LoadLabModel,
    LocalizeConcepts,
    LocalizeWords,
    EditConcepts,
    ConceptsFromMasks,
    MatchConcepts,
    LearnConceptTokens,
    SaveConceptTokens,
    LoadConceptTokens,
    SaveAdapterAsLora,
    EncodeConceptPrompt,
    CaptureAttention,
    ShowWordHeatmap,
    EraseConcepts,
    SaveErasureAsLora,
    LoadLabClipVision,
    LoadConceptPrototypes,
    ScoreConcepts,
)

NODES = tuple(checked(node) for node in _ALL)

__all__ = ["NODES"]
