"""Prefill and decode of the same SmolLM2 file in llama.cpp, in processor seconds, for `benchmarks/gptq.py`.

    python3 -m venv /tmp/llama && /tmp/llama/bin/pip install xllamacpp
    /tmp/llama/bin/python benchmarks/llama_cpp.py SmolLM2-135M-Instruct.Q4_1.gguf [--rounds N]

Needs nothing of the project, so that llama.cpp stays out of its environment. Decoding is the difference
between an answer of 25 tokens and one of a single token behind the same prompt.
"""

import argparse
import statistics
import time
from pathlib import Path

import xllamacpp

DECODED = 24


def seconds(server: xllamacpp.Server, tokens: int, written: int) -> float:
    """Processor seconds of one completion, all threads together."""
    started = time.process_time()
    answer = server.handle_completions(
        {
            "prompt": [5 + 7 * place % 30_000 for place in range(tokens)],
            "n_predict": written,
            "cache_prompt": False,
            "temperature": 0.0,
            "ignore_eos": True,
        }
    )
    passed = time.process_time() - started
    assert (answer["timings"]["prompt_n"], answer["timings"]["predicted_n"]) == (tokens, written), answer
    return passed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    params = xllamacpp.CommonParams()
    params.model.path = str(arguments.file)
    params.n_ctx, params.n_parallel, params.verbosity = 4096, 1, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = arguments.threads
    server = xllamacpp.Server(params)
    seconds(server, 16, 8)
    for tokens in (512, 2048):
        one = statistics.median(seconds(server, tokens, 1) for _ in range(arguments.rounds))
        print(f"prefill {tokens}: {one:.3f} s, {tokens / one:.1f} tokens/s", flush=True)
    steps = [
        (seconds(server, 64, 1 + DECODED) - seconds(server, 64, 1)) / DECODED for _ in range(arguments.rounds)
    ]
    print(f"decode behind 64: {statistics.median(steps):.4f} s, {1 / statistics.median(steps):.1f} tokens/s")


if __name__ == "__main__":
    main()
