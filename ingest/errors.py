"""What can go wrong below the package border.

IngestError
├── NoIndexError          there is no index here
├── IndexMismatchError    the index was made with another schema, embedder or chunking
├── LockedError           another process is writing
├── EmbedderError         the embedder's weights are missing or not the ones expected
├── PruneRefusedError     more than half of a root would be removed
├── RootError             a path named on the command line cannot be ingested
├── SourceNotFoundError   no source or document by that name
└── StorageError          the disk or the database said no
"""


class IngestError(Exception):
    """Base of every error meant for people: says what, why, and the next step."""


class NoIndexError(IngestError):
    """There is no index here."""


class IndexMismatchError(IngestError):
    """The index was made with another schema, embedder or chunking."""


class LockedError(IngestError):
    """Another process holds the writer's lock."""


class EmbedderError(IngestError):
    """The embedder is missing, or its weights are not the ones expected."""


class PruneRefusedError(IngestError):
    """More than half of a root would be removed, and nobody allowed that."""


class RootError(IngestError):
    """A path named on the command line cannot be ingested."""


class SourceNotFoundError(IngestError):
    """No source, and no single document, goes by that name."""


class StorageError(IngestError):
    """The disk or the database refused; what was committed before still answers."""
