"""The starter: a pair scorer that reads query and document apart, then compares them.

The input is `[CLS] query [SEP] [CLS] document [SEP]`, with token type 0 for the query's part and 1 for the document's.
An encoder (six BERT layers) reads the two parts apart: no token attends to the other part, and positions start again at
the document. A comparison then adds up evidence of two kinds: similarities of vectors and matches of words, and what a
small transformer over both parts finds. The result is one logit.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

EVIDENCE = 5
"""Cosine of the mean vectors; best match of query tokens in context, and without context; words and pairs of words that
the document repeats."""


class StarterConfig(PretrainedConfig):
    """Sizes, with the names that BERT's configuration uses."""

    model_type = "starter-pair-scorer"

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 384,
        num_hidden_layers: int = 6,
        num_comparison_layers: int = 2,
        num_attention_heads: int = 12,
        intermediate_size: int = 1536,
        max_position_embeddings: int = 512,
        layer_norm_eps: float = 1e-12,
        num_special_tokens: int = 999,
        mean_document_tokens: int = 90,
        **others,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_comparison_layers = num_comparison_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.max_position_embeddings = max_position_embeddings
        self.layer_norm_eps = layer_norm_eps
        self.num_special_tokens = num_special_tokens
        self.mean_document_tokens = mean_document_tokens
        super().__init__(**{"num_labels": 1, **others})


class Layer(nn.Module):
    """A transformer layer as BERT has it."""

    def __init__(self, config: StarterConfig):
        super().__init__()
        size, wide = config.hidden_size, config.intermediate_size
        self.heads = config.num_attention_heads
        self.query, self.key, self.value, self.output = (nn.Linear(size, size) for _ in range(4))
        self.up, self.down = nn.Linear(size, wide), nn.Linear(wide, size)
        self.attention_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.output_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)

    def forward(self, states: Tensor, bias: Tensor, first: int | None = None) -> Tensor:
        """`states` (rows, length, size); `bias` is added to the attention's logits; `first`: tokens to give."""
        rows, _, size = states.shape
        asking = states if first is None else states[:, :first]
        shape = (rows, -1, self.heads, size // self.heads)
        query, key, value = (
            part(source).view(shape).transpose(1, 2)
            for part, source in ((self.query, asking), (self.key, states), (self.value, states))
        )
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        asking = self.attention_norm(asking + self.output(attended.transpose(1, 2).flatten(2)))
        return self.output_norm(asking + self.down(functional.gelu(self.up(asking))))


class Comparison(nn.Module):
    """From token vectors of both parts to a logit."""

    def __init__(self, config: StarterConfig):
        super().__init__()
        size = config.hidden_size
        self.special, self.mean_length = config.num_special_tokens, config.mean_document_tokens
        self.rarity = nn.Parameter(torch.zeros(config.vocab_size), requires_grad=False)  # inverse document frequency
        self.weigh, self.weigh_rarity = nn.Linear(2 * size, 4), nn.Parameter(torch.tensor([0.5, 1.0, 1.0, 1.0]))
        self.match = nn.Linear(size, size, bias=False)
        self.scale, self.bias = nn.Parameter(torch.tensor(12.0)), nn.Parameter(torch.tensor(-4.0))
        self.amount = nn.Parameter(torch.zeros(EVIDENCE - 1))
        self.context, self.word, self.part = nn.Linear(size, size), nn.Linear(size, size), nn.Embedding(2, size)
        self.norm = nn.LayerNorm(size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_comparison_layers))
        self.pool, self.score = nn.Linear(size + EVIDENCE, size), nn.Linear(size, 1)

    def forward(self, states: Tensor, words: Tensor, ids: Tensor, in_query: Tensor, in_document: Tensor) -> Tensor:
        """`states` in context and `words` without, (rows, length, size); `ids` and the two masks, (rows, length)."""
        query, document = in_query.to(states.dtype), in_document.to(states.dtype)
        real = (ids >= self.special).to(states.dtype)
        matches = self._matches(states, words, ids, query * real, document, document * real)
        evidence = torch.cat([self._cosine(states, query, document), matches], 1)
        both = self.norm(self.context(states) + self.word(words) + self.part(in_document.long()))
        bias = ((1.0 - query - document) * -1e4)[:, None, None, :]
        for layer in self.layers[:-1]:
            both = layer(both, bias)
        first = self.layers[-1](both, bias, first=1)[:, 0]
        found = self.score(torch.tanh(self.pool(torch.cat([first, evidence], 1))))[:, 0]
        return self.scale * evidence[:, 0] + self.bias + 10.0 * (evidence[:, 1:] * self.amount).sum(1) + found

    def _cosine(self, states: Tensor, query: Tensor, document: Tensor) -> Tensor:
        parts = (query, document)
        means = ((states * part[..., None]).sum(1) / part.sum(1, keepdim=True).clamp_min(1.0) for part in parts)
        return functional.cosine_similarity(*means)[:, None]

    def _matches(
        self, states: Tensor, words: Tensor, ids: Tensor, query: Tensor, document: Tensor, document_words: Tensor
    ) -> Tensor:
        """Four kinds of match (rows, 4), each a mean over the query's tokens, weighted by their importance."""
        outside = (1.0 - document)[:, None, :] * 4.0
        near, like = functional.normalize(self.match(states), dim=-1), functional.normalize(words, dim=-1)
        in_context = (near @ near.transpose(1, 2) - outside).amax(-1)
        without = (like @ like.transpose(1, 2) - outside).amax(-1)
        same = (ids[:, :, None] == ids[:, None, :]).to(states.dtype) * document_words[:, None, :]
        count, length = same.sum(-1), document_words.sum(1, keepdim=True)
        repeated = count / (count + 0.54 + 0.36 * length / self.mean_length)  # BM25 with k1 0.9, b 0.4
        pairs = functional.pad((same[:, :-1, :-1] * same[:, 1:, 1:]).amax(-1), (0, 1))
        rarity = self.rarity[ids]
        weights = self.weigh(torch.cat([states, words], -1)) + torch.log(rarity + 0.1)[..., None] * self.weigh_rarity
        weights = torch.softmax(weights - (1.0 - query)[..., None] * 1e4, 1)
        matches = torch.stack([in_context, without, repeated, pairs], -1)
        return (weights * query[..., None] * matches).sum(1)  # 0 for a query without a known word


class StarterForSequenceClassification(PreTrainedModel):
    """One logit a pair: `AutoModelForSequenceClassification.from_pretrained(..., trust_remote_code=True)`."""

    config_class = StarterConfig

    def __init__(self, config: StarterConfig):
        super().__init__(config)
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=0)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.comparison = Comparison(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **_,
    ):
        """All (rows, length); gives `logits` (rows, 1)."""
        present = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        document = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        in_query, in_document = (present * (1 - document)).bool(), (present * document).bool()
        at = torch.cumsum(torch.ones_like(input_ids), 1) - 1
        at = at - document * in_query.sum(1, keepdim=True)
        words = self.word_embeddings(input_ids)
        states = self.norm(words + self.position_embeddings(at.clamp(0, self.config.max_position_embeddings - 1)))
        kind = document + 2 * (1 - present)
        bias = ((kind[:, :, None] != kind[:, None, :]).to(words.dtype) * -1e4)[:, None]
        for layer in self.layers:
            states = layer(states, bias)
        logits = self.comparison(states, words, input_ids, in_query, in_document)[:, None]
        return SequenceClassifierOutput(logits=logits)
