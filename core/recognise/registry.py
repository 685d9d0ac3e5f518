"""Every method of learning a subject from masks, by name, in the order that people are shown."""

from collections.abc import Mapping
from typing import Any

from ..registry import collect
from .subjects import SubjectLearner

SUBJECTS: Mapping[str, SubjectLearner[Any]] = collect(__package__, "METHOD", "methods.contrast", "methods.prototypes")
"""Method name to its record. To add a method, write its file and add its scores to
``core/explain/parts/subject_codes.py`` (see docs/extend.md)."""
