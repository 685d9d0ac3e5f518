"""The commands of ``bench surgery``."""

PARTS = {"probes": 4, "vectors": 8, "audit": 4, "calibrated": 4, "heads": 4, "skills": 10}
"""Its parts with their cases, the quick ones first."""

SURGERY = {f"surgery/{name}.json": f"surgery --split test --part {name} --cases {n}" for name, n in PARTS.items()}
