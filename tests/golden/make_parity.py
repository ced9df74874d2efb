"""Select the candidates of each query of the parity set: `python tests/golden/make_parity.py`

They are the 20 best documents by BM25 among all documents of the set, as in a first stage. The script rewrites the
field "candidates" of service/rerank_service/models/tuning/parity.jsonl.
"""

import json
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np

CANDIDATES = 20
_FILE = Path(__file__).parents[2] / "service" / "rerank_service" / "models" / "tuning" / "parity.jsonl"
_K1, _B = 1.2, 0.75
_UNSPACED = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]+")


def terms(text: str) -> Counter[str]:
    """Return the words of a text; for scripts without spaces, pairs of neighbouring characters."""
    text = text.lower()
    runs = _UNSPACED.findall(text)
    pairs = [run[at : at + 2] for run in runs for at in range(max(1, len(run) - 1))]
    return Counter(re.findall(r"\w+", _UNSPACED.sub(" ", text)) + pairs)


class Bm25:
    """BM25 (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009)."""

    def __init__(self, documents: list[str]) -> None:
        self._documents = [terms(document) for document in documents]
        self._document_counts = Counter(term for document in self._documents for term in document)
        self._lengths = np.array([document.total() for document in self._documents])

    def best(self, query: str) -> list[int]:
        """Return the numbers of the best documents, best first; ties keep their order."""
        scores = np.zeros(len(self._documents))
        norm = _K1 * (1 - _B + _B * self._lengths / self._lengths.mean())
        for term in terms(query):
            containing = self._document_counts[term]
            idf = math.log(1 + (len(self._documents) - containing + 0.5) / (containing + 0.5))
            counts = np.array([document[term] for document in self._documents])
            scores += idf * counts * (_K1 + 1) / (counts + norm)
        return [int(number) for number in np.argsort(-scores, kind="stable")[:CANDIDATES]]


def main() -> None:
    """Rewrite the file."""
    topics = [json.loads(line) for line in _FILE.read_text().splitlines()]
    retriever = Bm25([document for topic in topics for document in topic["documents"]])
    for topic in topics:
        texts = [query["text"] if isinstance(query, dict) else query for query in topic["queries"]]
        topic["queries"] = [{"text": text, "candidates": retriever.best(text)} for text in texts]
    _FILE.write_text("".join(json.dumps(topic, ensure_ascii=False) + "\n" for topic in topics))


if __name__ == "__main__":
    main()
