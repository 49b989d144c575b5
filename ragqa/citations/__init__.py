"""What a model wrote, and whether the documents say so. Pure: no model, no index, no disk.

`replies` reads answer and claimed sources from raw text; `words` and `facts` say what is compared; `checking`
finds the quotes that carry each sentence.
"""

from ragqa.citations.checking import check
from ragqa.citations.replies import Reply, parse_reply

__all__ = ["Reply", "check", "parse_reply"]
