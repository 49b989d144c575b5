"""Values to the JSON that scripts rely on: one function an object."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ragqa.types import Answer, Citation, ContextBlock, Hit

if TYPE_CHECKING:  # values pass through here; the modules that make them are heavy for `--help`
    from ingest.index import IndexStats, SourceRow
    from ingest.pipeline import Report

SCHEMA_VERSION = 1
Json = dict[str, Any]


def dumps(value: Json) -> str:
    """One line of JSON. What does not show (controls, direction marks, lone surrogates) stands as its escape:
    the value is the same, and printing it does nothing to a terminal.
    """
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def answer_json(answer: Answer) -> Json:
    """What `ask --json` prints."""
    prompt, generation = answer.prompt, answer.generation
    blocks = {block.key: block for block in prompt.blocks} if prompt else {}
    cited = {citation.block_key for citation in answer.citations}
    return {
        "schema_version": SCHEMA_VERSION,
        "question": answer.question,
        "answer": answer.text,
        "refused": answer.refused,
        "refusal_reason": answer.refusal_reason,
        "confidence": round(answer.confidence, 4),
        "sentences": [
            {
                "text": sentence.text,
                "start": sentence.start,
                "end": sentence.end,
                "citations": list(sentence.citations),
                "verdict": sentence.verdict,
                "missing": list(sentence.missing),
            }
            for sentence in answer.sentences
        ],
        "citations": [citation_json(citation, blocks[citation.block_key]) for citation in answer.citations],
        "blocks": [block_json(block, block.key in cited) for block in blocks.values()],
        "dropped": [
            {"source": drop.source, "start": drop.start, "end": drop.end, "reason": drop.reason}
            for drop in (prompt.dropped if prompt else ())
        ],
        "tokens": {
            "prompt": len(prompt.token_ids) if prompt else 0,
            "answer": generation.tokens if generation else 0,
            "window": answer.window,
            "estimated": answer.tokens_estimated,
        },
        "model": {"engine": answer.engine, "name": answer.model},
        "seconds": {
            "retrieve": round(answer.seconds_retrieve, 4),
            "generate": round(answer.seconds_generate, 4),
        },
        "raw_text": generation.text if generation else "",
    }


def citation_json(citation: Citation, block: ContextBlock) -> Json:
    """One entry of `citations`; the page is that of the quote, not of its block."""
    return {
        "id": citation.id,
        "source": block.source,
        "document_id": block.document_id,
        "text_sha256": block.text_sha256,
        "title": block.title,
        "section": " > ".join(block.section),
        "page": citation.page,
        "page_end": citation.page_end,
        "start": citation.start,
        "end": citation.end,
        "quote": citation.quote,
        "metadata": dict(block.metadata),
        "claimed_by_model": citation.claimed_by_model,
    }


def block_json(block: ContextBlock, cited: bool) -> Json:
    """One entry of `blocks`: what the prompt held."""
    return {
        "key": block.key,
        "source": block.source,
        "page": block.page,
        "start": block.start,
        "end": block.end,
        "score": round(block.score, 4),
        "tokens": block.tokens,
        "cited": cited,
    }


def hit_json(rank: int, hit: Hit) -> Json:
    """One line of `search --json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "rank": rank,
        "score": round(hit.score, 4),
        "source": hit.source,
        "document_id": hit.document_id,
        "page": hit.page,
        "section": " > ".join(hit.section),
        "start": hit.start,
        "end": hit.end,
        "text": hit.text,
    }


def source_json(row: "SourceRow") -> Json:
    """One line of `sources list --json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "source": row.source,
        "document_id": row.document_id,
        "status": row.status,
        "code": row.code,
        "title": row.title,
        "pages": row.pages,
        "chunks": row.chunks,
        "characters": row.characters,
        "metadata": dict(row.metadata),
    }


def report_json(report: "Report") -> Json:
    """What `ingest --json` prints; `planned` is there in a dry run that would do something."""
    planned = [{"action": action, "source": source} for action, source in report.planned]
    return {
        **({"planned": planned} if planned else {}),
        "schema_version": SCHEMA_VERSION,
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "renamed": report.renamed,
        "failed": [{"source": p.source, "code": p.code, "message": p.message} for p in report.failed],
        "skipped": [{"source": p.source, "code": p.code, "message": p.message} for p in report.skipped],
        "chunks": report.chunks,
        "seconds": {stage: round(seconds, 3) for stage, seconds in report.seconds},
    }


def stats_json(stats: "IndexStats") -> Json:
    """What `index stats --json` prints."""
    return {"schema_version": SCHEMA_VERSION, **asdict(stats)}


def check_json(problems: Sequence[str]) -> Json:
    """What `index check --json` prints."""
    return {"schema_version": SCHEMA_VERSION, "ok": not problems, "problems": list(problems)}


def findings_json(findings: Sequence[Any]) -> Json:
    """What `doctor --json` prints."""
    return {"schema_version": SCHEMA_VERSION, "findings": [asdict(finding) for finding in findings]}


def model_check_json(report: Any) -> Json:
    """What `model check --json` prints."""
    return {
        "schema_version": SCHEMA_VERSION,
        "folder": str(report.folder),
        "passed": report.passed,
        "findings": [asdict(finding) for finding in report.findings],
        "needles": [{**asdict(needle), "passed": needle.passed} for needle in report.needles],
        "window": report.window,
        "proven_length": report.proven_length,
        "seconds": round(report.seconds, 1),
    }


def quantize_json(report: Any) -> Json:
    """What `model quantize --json` prints: seconds, bytes, and each matrix's relative squared error."""
    return {
        "schema_version": SCHEMA_VERSION,
        "folder": str(report.folder),
        "seconds": round(report.seconds, 1),
        "peak_memory": report.peak_memory,
        "calibration_tokens": report.calibration_tokens,
        "resumed_layers": report.resumed,
        # Rounding to nearest sees no calibration, so it knows no error of an output.
        "errors": {one.name: one.error for one in report.errors if one.error == one.error},
    }


def distil_json(report: Any) -> Json:
    """What `model distil --json` prints: KL in nats a token to the full model, seconds, bytes."""
    return {
        "schema_version": SCHEMA_VERSION,
        "folder": str(report.folder),
        "kl_before": report.before,
        "kl_after": report.after,
        "steps": report.steps,
        "windows": report.windows,
        "seconds": round(report.seconds, 1),
        "peak_memory": report.peak_memory,
    }


def fit_json(report: Any) -> Json:
    """What `model fit --json` prints; sizes in bytes."""
    return {"schema_version": SCHEMA_VERSION, **asdict(report)}
