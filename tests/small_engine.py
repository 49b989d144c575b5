"""Fixtures of the engine gptq: a random Llama with a tokenizer of bytes, and the engine over it."""

from pathlib import Path

import pytest

from ragqa.gptq.quantization import Quantization
from ragqa.gptq.standin import llama_config, make_random_llama
from ragqa.llm.gptq import GptqEngine, open_gptq_engine
from tests.byte_tokenizer import byte_tokenizer

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = ["<|im_start|>", "<|im_end|>"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    make_random_llama(folder, llama_config(64, 128, 1, 2, 260), Quantization(group_size=32))
    tokenizer = byte_tokenizer("<s>", "</s>", *TURNS, additional_special_tokens=TURNS, chat_template=TEMPLATE)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def engine(folder: Path) -> GptqEngine:
    """The engine over it."""
    return open_gptq_engine(str(folder))
