"""Write the golden files anew: what transformers computes for golden/texts.py, with the starter in its own format.

python tests/golden/make_golden.py FOLDER       (in the export environment)
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from golden.cases import SCORES, TOKENS, Group
from golden.texts import GROUPS, token_texts
from rerank_export.quiet import quiet
from rerank_export.scoring import ONE_LABEL
from rerank_export.source import Source
from rerank_export.torch_model import TorchModel

WINDOW = 512


def main(folder: Path) -> None:
    """Write starter.json and starter_tokens.json."""
    from transformers import AutoTokenizer

    source = Source(folder, folder.name)
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = TorchModel(source, ONE_LABEL, WINDOW)
        scores = [_scored(group, model, tokenizer) for group in GROUPS]
        tokens = [[text, tokenizer(text, add_special_tokens=False).input_ids] for text in token_texts()]
    _write(SCORES, scores)
    _write(TOKENS, tokens)
    print(f"{sum(len(group['logits']) for group in scores)} pairs, {len(tokens)} texts")


def _scored(group: Group, model: TorchModel, tokenizer: Any) -> dict[str, Any]:
    """The group with its logits, and with the positions of the pairs that are cut."""
    pairs = group.pairs()
    logits = model.logits(pairs)
    lengths = [len(tokenizer([query], [document]).input_ids[0]) for query, document in pairs]
    return {
        "name": group.name,
        "queries": group.queries,
        "documents": group.documents,
        "logits": [round(float(logit), 6) for logit in logits],
        "truncated": [at for at, length in enumerate(lengths) if length > WINDOW],
    }


def _write(path: Path, entries: list[Any]) -> None:
    """As ASCII: editors and diffs leave characters alone that they do not see."""
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    path.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
