"""Folders in, an index in line with them out."""

from ingest.pipeline.run import ingest_paths
from ingest.pipeline.values import IngestOptions, Progress, Report, SourceProblem, Tools

__all__ = ["IngestOptions", "Progress", "Report", "SourceProblem", "Tools", "ingest_paths"]
