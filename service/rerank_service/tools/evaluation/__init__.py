"""Evaluation: how well a model ranks the candidates of judged collections, compared with their first-stage order."""
