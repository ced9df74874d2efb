"""Write the golden files: transformers scores golden/texts.py with the starter model in its original format.

python tests/golden/make_golden.py FOLDER       (in the export environment)
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from golden.cases import SCORES, TOKENS, Group
from golden.starter_source import starter_source
from golden.texts import GROUPS, token_texts
from rerank_export.gate.torch_reference import TorchReference
from rerank_export.library_output import silence_libraries
from rerank_export.scoring.model_scoring import Scoring
from rerank_export.source.model_source import ModelSource

MAX_TOKENS = 512


def main(folder: Path) -> None:
    """Write starter.json and starter_tokens.json."""
    from transformers import AutoTokenizer

    with silence_libraries(), starter_source(folder) as code:
        source = ModelSource(code, folder.name, trusted=True)
        tokenizer = AutoTokenizer.from_pretrained(code)
        model = TorchReference(source, Scoring(), MAX_TOKENS)
        scores = [_scored(group, model, tokenizer) for group in GROUPS]
        tokens = [[text, tokenizer(text, add_special_tokens=False).input_ids] for text in token_texts()]
    _write(SCORES, scores)
    _write(TOKENS, tokens)
    print(f"{sum(len(group['logits']) for group in scores)} pairs, {len(tokens)} texts")


def _scored(group: Group, model: TorchReference, tokenizer: Any) -> dict[str, Any]:
    """Return the group with its logits and the positions of truncated pairs."""
    pairs = group.pairs()
    logits = model.logits(pairs)
    lengths = [len(tokenizer([query], [document]).input_ids[0]) for query, document in pairs]
    return {
        "name": group.name,
        "queries": group.queries,
        "documents": group.documents,
        "logits": [round(float(logit), 6) for logit in logits],
        "truncated": [at for at, length in enumerate(lengths) if length > MAX_TOKENS],
    }


def _write(path: Path, entries: list[Any]) -> None:
    """Write JSON in ASCII, so that editors and diffs do not change invisible characters."""
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    path.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
