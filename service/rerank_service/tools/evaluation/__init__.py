"""How well a model orders the candidates of relevance collections, beside the order that they came in."""
