"""Fixtures of the engine gptq: a random Llama with a tokenizer of bytes, and the engine over it."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ragqa.gptq.quantization import Quantization
from ragqa.gptq.standin import llama_config, make_random_llama
from ragqa.llm.gptq import GptqEngine, open_gptq_engine

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    make_random_llama(folder, llama_config(64, 128, 1, 2, 260), Quantization(group_size=32))
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def engine(folder: Path) -> GptqEngine:
    """The engine over it."""
    return open_gptq_engine(str(folder))


def save_tokenizer(folder: Path) -> None:
    """Every byte is a token, so that any text can be said and torn characters occur."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>",
        additional_special_tokens=SPECIAL[2:], chat_template=TEMPLATE,
    )  # fmt: skip
    wrapped.save_pretrained(folder)
