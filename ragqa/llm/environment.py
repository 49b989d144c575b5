"""Where the environment of the engine `auto-gptq` lies. Imports nothing heavy, so that `doctor` can ask."""

import os
from pathlib import Path

ENVIRONMENT = Path(__file__).parents[2] / ".venv-auto-gptq"
VARIABLE = "RAGQA_AUTO_GPTQ_PYTHON"
"""Names the Python of an environment that lies elsewhere."""


def auto_gptq_python() -> Path:
    """The Python that has, or would have, auto-gptq."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else ENVIRONMENT / "bin" / "python"
