"""Models known by name: that all are there, what they say of themselves, and which commit is taken."""

import re

import pytest

from ragqa.doctor import model_findings
from ragqa.errors import CheckpointError
from ragqa.gptq.presets import PRESETS, preset_of, split_revision
from ragqa.llm.gptq import find_model
from ragqa.prompt import WRAPPERS

COMMIT = "0123456789abcdef0123456789abcdef01234567"
UNPINNED = "qwen2.5-1.5b"
HUB = {name: preset for name, preset in PRESETS.items() if preset.repository}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub's cache with one commit of each repository, and no network."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="the gptq extra is not installed")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for preset in HUB.values():
        folder = tmp_path / f"models--{preset.repository.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(COMMIT)
        for commit in {COMMIT, preset.revision or COMMIT}:
            (folder / "snapshots" / commit).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(("name", "window", "factor", "repository"), [
    ("airoboros-33b-16k", 16_384, 8, "bhenrym14/airoboros-33b-gpt4-1.4.1-lxctx-PI-16384-GPTQ"),
    ("airoboros-13b-8k", 8192, 4, "bhenrym14/airoboros-13b-gpt4-1.4.1-PI-8192-GPTQ"),
    ("airoboros-7b-16k", 16_384, 8, "bhenrym14/airoboros-7b-gpt4-1.4.1-lxctx-PI-16384-GPTQ"),
    ("qwen2.5-0.5b", 32_768, None, "Qwen/Qwen2.5-0.5B-Instruct-GPTQ-Int4"),
    ("qwen2.5-1.5b", 32_768, None, "Qwen/Qwen2.5-1.5B-Instruct-GPTQ-Int4"),
    ("qwen2.5-3b", 32_768, None, "Qwen/Qwen2.5-3B-Instruct-GPTQ-Int4"),
    ("qwen2.5-7b", 32_768, None, "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4"),
    ("smollm2-135m", 8192, None, None),
])  # fmt: skip
def test_every_model_is_known_by_name_and_by_hub_id(name, window, factor, repository):
    preset = PRESETS[name]
    assert (preset.window, preset.rope_factor, preset.repository) == (window, factor, repository)
    assert preset_of(name) is preset
    assert repository is None or preset_of(repository) is preset
    assert preset.wrapper in (None, *WRAPPERS)
    assert preset.licence


@pytest.mark.parametrize("name", ["airoboros-33b-16k", "airoboros-13b-8k", "airoboros-7b-16k"])
def test_the_seeds_family_shares_its_wrapper_its_stops_and_its_licence(name):
    preset = PRESETS[name]
    assert preset.wrapper == "airoboros"
    assert "USER:" in preset.stops
    assert preset.restricted
    assert "non-commercial research" in preset.licence
    assert preset.window == preset.trained_positions * preset.rope_factor


def test_the_research_licence_of_qwen_is_shown():
    assert [name for name in HUB if name.startswith("qwen") and PRESETS[name].restricted] == ["qwen2.5-3b"]


def test_pinned_commits_are_whole():
    assert all(re.fullmatch("[0-9a-f]{40}", one.revision) for one in HUB.values() if one.revision)
    assert PRESETS[UNPINNED].revision is None


@pytest.mark.parametrize("name", HUB)
def test_a_preset_takes_its_commit_or_says_that_it_takes_the_newest(name, hub, caplog):
    preset, folder = find_model(name)
    assert folder.name == (preset.revision or COMMIT)
    assert (f"--model {name}@{COMMIT} pins one" in caplog.text) == (preset.revision is None)


def test_a_hub_id_without_a_preset_says_which_commit_it_is(hub, caplog):
    folder = hub / "models--owner--other"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    assert find_model("owner/other") == (None, folder / "snapshots" / COMMIT)
    assert f"--model owner/other@{COMMIT} pins one" in caplog.text
    caplog.clear()
    assert find_model(f"owner/other@{COMMIT}") == find_model("owner/other", COMMIT)
    assert find_model(str(folder)) == (None, folder)
    assert not caplog.text


@pytest.mark.parametrize("name", ["qwen2.5-0.5b", UNPINNED, HUB[UNPINNED].repository])
def test_a_commit_is_pinned_behind_the_name(name, hub, caplog):
    preset, folder = find_model(f"{name}@{COMMIT}")
    assert preset is preset_of(name)
    assert folder.name == COMMIT
    assert not caplog.text


def test_a_model_that_is_made_here_has_no_commits():
    with pytest.raises(CheckpointError, match="made here"):
        find_model(f"smollm2-135m@{COMMIT}")


def test_doctor_says_which_commit_is_taken():
    details = {finding.name: finding.detail for finding in model_findings()}
    for name, preset in HUB.items():
        assert preset.repository in details[name]
        assert (preset.revision or f"{name}@COMMIT pins one") in details[name]
        assert preset.licence in details[name]


@pytest.mark.parametrize(("model", "expected"), [
    ("a", ("a", None)), ("o/a@c0ffee", ("o/a", "c0ffee")), ("a@", ("a", None)),
])  # fmt: skip
def test_a_commit_stands_behind_an_at(model, expected):
    assert split_revision(model) == expected
