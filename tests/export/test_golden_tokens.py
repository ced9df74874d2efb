"""The golden token ids hold in this environment too, whose tokenizers library is older than the server's."""

from golden.cases import golden_tokens
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.models.bundle import Bundle


def test_token_ids_equal_the_golden_ids(starter: Bundle) -> None:
    """tests/service/test_golden.py checks the same in the server's environment."""
    tokenizer = PairTokenizer(starter.tokenizer, max_tokens=512)
    texts, ids = zip(*golden_tokens(), strict=True)
    pairs = tokenizer.encode_documents(tokenizer.encode_query("?"), texts)
    assert [pair.document.tolist() for pair in pairs] == list(ids)
