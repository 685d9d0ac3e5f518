"""JSON texts in the encodings that programs write."""

import json
from pathlib import Path

import pytest

from concept_atelier.host.files.json_files import BadJsonError, parse_json, read_json

VALUE = {"text": "eine Füchsin 猫"}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_gives_the_same_object(encoding, tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(json.dumps(VALUE, ensure_ascii=False).encode(encoding))
    assert read_json(path) == VALUE


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff\xfe", b"\xef\xbb\xbf", '{"a": "\xe4"}'.encode("latin-1"), b"\x89PNG"]
)
def test_what_is_no_json_is_reported_with_the_files_name(data):
    with pytest.raises(BadJsonError, match="wf.json is not a JSON file"):
        parse_json(data, "wf.json")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a file without an end is a Unix thing")
def test_a_file_that_never_ends_is_refused():
    with pytest.raises(BadJsonError, match="/dev/zero has 64 MB; JSON of more than 64 MB is not read"):
        read_json(Path("/dev/zero"))
