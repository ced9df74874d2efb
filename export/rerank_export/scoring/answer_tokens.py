"""The answer tokens of a text generator: the tokens whose logits make the score, such as "yes" and "no"."""

from rerank_export.errors import ExportFailed
from rerank_export.scoring.pair_template import NO_TEMPLATE
from rerank_export.scoring.recipe import Recipe
from rerank_export.scoring.recipe_choice import recipes_of_kind
from rerank_export.scoring.scoring_options import ScoringOptions
from rerank_export.source.model_source import ModelSource
from rerank_export.source.tokenizer_file import load_tokenizer
from rerank_service.encoding.template import DOCUMENT, QUERY


def answer_tokens(
    source: ModelSource,
    kind: str,
    options: ScoringOptions,
    files_tokens: tuple[int, ...] | None,
    recipe: Recipe | None,
    *,
    has_template: bool,
) -> tuple[int, ...]:
    """Return one or two token ids: "relevant" first, then "not relevant" if the score is a difference.

    `kind` is the `model_type` in config.json. The options come first, then the ids in the model's files, then the
    recipe.

    Raises:
        ExportFailed: nothing names the tokens, or a word is not exactly one token.
    """
    yes = options.yes or (recipe.yes if recipe else None)
    if not has_template or not (yes or files_tokens):
        known = " or ".join(f"--template {recipe.name}" for recipe in recipes_of_kind(kind))
        cause = (
            f"--template {options.template} leaves out the prompt that asks for its answer"
            if options.template in NO_TEMPLATE
            else "neither its files nor a recipe define its prompt and answer"
        )
        raise ExportFailed(
            f"{source.id} generates text, and {cause}: set "
            f"--template (a text or file with {QUERY} and {DOCUMENT}), --yes and --no (the score is the difference of "
            f"their logits){f', or only {known} if it is such a model' if known else ''}"
        )
    if files_tokens and not options.yes:
        if options.no is not None:
            raise ExportFailed("--no needs --yes here, because the model's files define both tokens: set both, or none")
        return files_tokens
    if options.yes and options.no is None:
        raise ExportFailed("--yes needs --no; set --no '' if the logit of --yes alone is the score")
    assert yes
    no = options.no if options.no is not None else (recipe.no if recipe else None)
    return _token_ids(source, [yes, no] if no else [yes])


def _token_ids(source: ModelSource, words: list[str]) -> tuple[int, ...]:
    tokenizer = load_tokenizer(source)

    def token_id(word: str) -> int:
        ids: list[int] = tokenizer(word, add_special_tokens=False).input_ids
        if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
            raise ExportFailed(
                f"{word!r} is not exactly one token of {source.id}, so it has no logit: set another word"
            )
        return ids[0]

    found = tuple(token_id(word) for word in words)
    if len(set(found)) < len(found):
        yes, no = words
        raise ExportFailed(
            f"--yes {yes!r} and --no {no!r} are the same token of {source.id}, so every score would be 0: set two words"
        )
    return found
