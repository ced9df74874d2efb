"""Sentences that are longer than a window, in a tokenizer with several tokens for a character."""

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers

from rerank_service.encoding.pair_key import PairKeys
from rerank_service.encoding.preparer import Preparer
from rerank_service.encoding.sentence_pairs import prepare_sentences
from rerank_service.encoding.template import Template
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.ranking.document import Document
from rerank_service.ranking.highlights import ScoredText
from rerank_service.ranking.request import RerankRequest
from support.reading_plans import plan_for
from support.running import DocumentReader


def _bytes_as_tokens(path: Path) -> PairTokenizer:
    """Return a tokenizer with one token for each byte: a character of Japanese has three."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: at for at, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(path))
    template = Template(before=("{query}",), document=" Document: {document}", after=("?",))
    return PairTokenizer(path, max_tokens=120, template=template)


def test_all_of_a_long_sentence_is_split(tmp_path: Path) -> None:
    """400 characters are 1,200 tokens. The best part may be the last one."""
    tokenizer = _bytes_as_tokens(tmp_path / "tokenizer.json")
    query = tokenizer.encode_query("q")
    preparer = Preparer(
        request=RerankRequest(query="q", highlights=9),
        plan=plan_for(tokenizer.max_tokens),
        plan_of=lambda _: plan_for(tokenizer.max_tokens),
        tokenizer=tokenizer,
        reader=DocumentReader(),
        query=query,
        keys=PairKeys(query, b"identity"),
        max_chars=10_000,
    )
    text = "東" * 400
    scored = ScoredText(
        index=0, document=Document(text), logit=0.0, truncated=False, windowed=(0, len(text)), best_window=(0, 30)
    )
    (sentences,) = prepare_sentences(preparer, [scored])
    assert (sentences.spans[0][0], sentences.spans[-1][1]) == (0, len(text))
    assert [end for _, end in sentences.spans[:-1]] == [start for start, _ in sentences.spans[1:]]
