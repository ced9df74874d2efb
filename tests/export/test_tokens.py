"""The tokenizers library of this environment is older than the server's; both must split alike."""

from golden.cases import golden_tokens
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.models.bundle import Bundle


def test_token_ids_are_those_of_transformers(starter: Bundle) -> None:
    """The bundled tokenizer gives the golden ids here; service/test_golden.py holds the same there."""
    tokenizer = PairTokenizer(starter.tokenizer, max_tokens=512)
    texts, ids = zip(*golden_tokens(), strict=True)
    pairs = tokenizer.encode_documents(tokenizer.encode_query("?"), texts)
    assert [pair.document.tolist() for pair in pairs] == list(ids)
