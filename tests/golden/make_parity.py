"""Give each query of the parity set its candidates: python tests/golden/make_parity.py

The 20 passages that BM25 finds for it among all passages of the set, as a first-stage retriever would.
Reads and rewrites service/rerank_service/tuning/parity.jsonl; only what is called "candidates" changes.
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
    """Words; of scripts without spaces, pairs of neighbouring characters."""
    text = text.lower()
    runs = _UNSPACED.findall(text)
    pairs = [run[at : at + 2] for run in runs for at in range(max(1, len(run) - 1))]
    return Counter(re.findall(r"\w+", _UNSPACED.sub(" ", text)) + pairs)


class Bm25:
    """Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009."""

    def __init__(self, documents: list[str]) -> None:
        self._documents = [terms(document) for document in documents]
        self._holding = Counter(term for document in self._documents for term in document)
        self._lengths = np.array([document.total() for document in self._documents])

    def best(self, query: str) -> list[int]:
        """Numbers of the best documents, best first; equals keep their order."""
        scores = np.zeros(len(self._documents))
        norm = _K1 * (1 - _B + _B * self._lengths / self._lengths.mean())
        for term in terms(query):
            holding = self._holding[term]
            rarity = math.log(1 + (len(self._documents) - holding + 0.5) / (holding + 0.5))
            counts = np.array([document[term] for document in self._documents])
            scores += rarity * counts * (_K1 + 1) / (counts + norm)
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
