"""What can go wrong above the package border.

RagqaError
├── EngineUnavailableError   the engine's parts are not installed, or its model is not here
├── RerankerError            the reranker's parts are not installed, or its model is not here or refused
├── CheckpointError          a model folder is refused, with the reason
├── PromptTooLongError       the question alone does not fit the window
├── QuestionFileError        a question file cannot be read
├── RunMismatchError         a batch output belongs to another run
├── OutputError              what was made cannot be written where it was asked for
└── CheckFailedError         a check ran and did not pass
"""


class RagqaError(Exception):
    """Base of every error meant for people: says what, why, and the next step."""


class EngineUnavailableError(RagqaError):
    """The engine's parts are not installed, or its model is not here."""


class RerankerError(RagqaError):
    """The reranker's parts are not installed, or its model is not here or is refused."""


class CheckpointError(RagqaError):
    """A model folder is refused; the message names the file and the reason."""


class PromptTooLongError(RagqaError):
    """The question alone leaves no room for an answer in the model's window."""


class QuestionFileError(RagqaError):
    """A question file cannot be read."""


class RunMismatchError(RagqaError):
    """A batch output belongs to another run (other questions, settings or index)."""


class OutputError(RagqaError):
    """What was made cannot be written where it was asked for."""


class CheckFailedError(RagqaError):
    """A check ran and did not pass."""
