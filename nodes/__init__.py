"""The pack's nodes: thin V3 classes over ``core`` by way of ``host``. No maths here."""

from ..host.schema import io
from ..host.workflow.given import checked
from .attribute.audit_focus import AuditFocus
from .attribute.capture_attention import CaptureAttention
from .attribute.compare_words import CompareWords
from .attribute.edit_by_words import EditByWords
from .attribute.show_concept_heatmap import ShowConceptHeatmap
from .attribute.show_word_heatmap import ShowWordHeatmap
from .attribute.show_word_information import ShowWordInformation
from .compose.compose_concepts import ComposeConcepts
from .compose.correct_by_similarities import CorrectBySimilarities
from .compose.encode_concept_prompt import EncodeConceptPrompt
from .compose.read_found_regions import ReadFoundRegions
from .data.adaptive_weights import AdaptiveWeights
from .data.caption_noise import CaptionNoise
from .data.save_captions import SaveCaptions
from .erase.attack_erasure import AttackErasure
from .erase.erase_concepts import EraseConcepts, SaveErasureAsLora
from .erase.erasure_report import ErasureReport
from .erase.guard_against_concepts import GuardAgainstConcepts
from .erase.invert_picture import InvertPicture
from .erase.load_erasure import LoadErasure
from .erase.purify_picture import PurifyPicture
from .erase.suggest_related_words import SuggestRelatedWords
from .erase.train_erasure import TrainErasure
from .evaluate.load_concept_prototypes import LoadConceptPrototypes
from .evaluate.score_composition import ScoreComposition
from .evaluate.score_concepts import ScoreConcepts
from .explain.audit_ingredients import AuditIngredients
from .explain.find_ingredients import FindIngredients
from .explain.ingredient_files import LoadIngredients, SaveIngredients
from .explain.ingredient_importance import IngredientImportance
from .explain.load_picture_folder import LoadPictureFolder
from .explain.record_activations import RecordActivations
from .explain.record_while_sampling import ReadRecording, RecordWhileSampling
from .explain.show_ingredients import IngredientMasks, ShowIngredients
from .explain.steer_ingredients import SteerIngredients
from .explain.strategy_clusters import FindStrategyClusters
from .lab.load_lab_clip_vision import LoadLabClipVision
from .lab.load_lab_model import LoadLabModel
from .learn.concept_token_files import LoadConceptTokens, SaveConceptTokens
from .learn.learn_concept_tokens import LearnConceptTokens
from .learn.save_adapter_as_lora import SaveAdapterAsLora
from .localize.concepts_from_masks import ConceptsFromMasks
from .localize.edit_concepts import EditConcepts
from .localize.localize_concepts import LocalizeConcepts
from .localize.localize_words import LocalizeWords
from .localize.match_concepts import MatchConcepts
from .prompts.attention_locality import AttentionLocality
from .prompts.chunk_prompt import ChunkPrompt
from .prompts.sentence_concepts import SentenceConcepts
from .recognise.captions import CompleteCaptions, LintConcepts
from .recognise.check_pixels import CheckPixels
from .recognise.classify_by_concept_matrix import ClassifyByConceptMatrix
from .recognise.conceive_and_segment import ConceiveAndSegment
from .recognise.concept_head_files import LoadConceptHead, SaveConceptHead
from .recognise.concept_heads import ScoreByConceptHead, TrainConceptHead
from .recognise.correct_and_propagate import CorrectAndPropagate
from .recognise.embeddings import AlignTextAndPictures, DecomposeEmbedding, EditEmbedding
from .recognise.find_my_subject import FindMySubject
from .recognise.pair_encoders import PairEncoders
from .recognise.picking import PickBestOfBatch, PickDiversePrompts
from .recognise.prototypes import FindPrototypes, LearnPrototypes, PrototypeFeedback
from .recognise.read_boxes import ReadBoxes
from .recognise.score_by_concepts import ScoreByConcepts
from .surgery.audit_erasure_inside import AuditErasureInside
from .surgery.calibrate_skill import CalibrateSkill
from .surgery.compare_skills import DifferenceOfSkills, SkillOverlap
from .surgery.concept_vectors import EditConceptVectors, FindConceptVectors
from .surgery.graft_skill import GraftSkill
from .surgery.head_offsets import ApplyHeadOffsets, ScoutHeads
from .surgery.localize_skill import LocalizeSkill
from .surgery.probe_layers import ProbeLayers
from .surgery.skill_files import LoadSkillPatch, SaveSkillPatch
from .surgery.slim_lora import SlimLora
from .surgery.stitch_skills import StitchSkills, SubtractSkill
from .surgery.train_head_offsets import TrainHeadOffsets

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
    ComposeConcepts,
    CorrectBySimilarities,
    ReadFoundRegions,
    CaptureAttention,
    ShowWordHeatmap,
    ShowWordInformation,
    CompareWords,
    EditByWords,
    AuditFocus,
    ScoreComposition,
    ShowConceptHeatmap,
    EraseConcepts,
    TrainErasure,
    SaveErasureAsLora,
    LoadErasure,
    AttackErasure,
    ErasureReport,
    SuggestRelatedWords,
    InvertPicture,
    GuardAgainstConcepts,
    PurifyPicture,
    LoadLabClipVision,
    LoadConceptPrototypes,
    ScoreConcepts,
    LoadPictureFolder,
    RecordActivations,
    RecordWhileSampling,
    ReadRecording,
    FindIngredients,
    ShowIngredients,
    IngredientMasks,
    IngredientImportance,
    SteerIngredients,
    AuditIngredients,
    FindStrategyClusters,
    SaveIngredients,
    LoadIngredients,
    LocalizeSkill,
    StitchSkills,
    SkillOverlap,
    SubtractSkill,
    DifferenceOfSkills,
    CalibrateSkill,
    FindConceptVectors,
    EditConceptVectors,
    AuditErasureInside,
    ScoutHeads,
    TrainHeadOffsets,
    ApplyHeadOffsets,
    ProbeLayers,
    GraftSkill,
    SlimLora,
    CaptionNoise,
    AdaptiveWeights,
    SaveCaptions,
    ChunkPrompt,
    SentenceConcepts,
    AttentionLocality,
    SaveSkillPatch,
    LoadSkillPatch,
    LearnPrototypes,
    FindPrototypes,
    PrototypeFeedback,
    FindMySubject,
    ReadBoxes,
    PairEncoders,
    CheckPixels,
    ScoreByConcepts,
    PickDiversePrompts,
    PickBestOfBatch,
    ClassifyByConceptMatrix,
    TrainConceptHead,
    ScoreByConceptHead,
    SaveConceptHead,
    LoadConceptHead,
    CompleteCaptions,
    LintConcepts,
    ConceiveAndSegment,
    AlignTextAndPictures,
    DecomposeEmbedding,
    EditEmbedding,
    CorrectAndPropagate,
)

NODES = tuple(checked(node) for node in _ALL)

__all__ = ["NODES"]
