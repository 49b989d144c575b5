"""Folders in, an index in line with them out."""

from ingest.pipeline.run import ingest_paths
from ingest.pipeline.values import IngestOptions, Report, SourceProblem, Tools

__all__ = ["IngestOptions", "Report", "SourceProblem", "Tools", "ingest_paths"]
