"""The contract of policies in files."""

import pytest

import ensemble_lab as lab
from tests.contracts.registry import check_refusal, contract


@contract("save_policy", "load_policy")
@pytest.mark.parametrize("path", [None, 3, "", b"x", ["a"]])
def test_a_path_that_is_none_is_refused_and_named(path):
    for call in (lambda: lab.save_policy(lab.MajorityVote(), path), lambda: lab.load_policy(path)):
        with pytest.raises(ValueError) as found:
            call()
        check_refusal(found.value, str(path) if path else None)


@contract("save_policy")
@pytest.mark.parametrize("policy", [None, "vote", lab.MajorityVote, {"a": 1}])
def test_what_is_no_policy_is_refused(policy, tmp_path):
    with pytest.raises(ValueError) as found:
        lab.save_policy(policy, tmp_path / "policy.json")
    check_refusal(found.value)


@contract("load_policy")
@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"[]", b'{"format": 1}', b"NaN"])
def test_what_is_no_file_of_a_policy_is_refused(content, tmp_path):
    path = tmp_path / "policy.json"
    path.write_bytes(content)
    with pytest.raises(ValueError) as found:
        lab.load_policy(path)
    check_refusal(found.value, "policy.json")
