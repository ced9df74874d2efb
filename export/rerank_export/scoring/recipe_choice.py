"""The recipe of a model.

Rule: a recipe applies on its own only if both the model's name and its type match, and no other recipe does. Otherwise
the user names it: `--template RECIPE`.
"""

import re
from collections.abc import Sequence

from rerank_export.scoring.recipe import Recipe, UnsupportedFamily
from rerank_export.scoring.recipes import RECIPES, UNSUPPORTED


def recipe_for(names: Sequence[str], kind: str) -> Recipe | None:
    """Return the only recipe for a model with these names and the `model_type` `kind`; None if it is not clear."""
    found = [recipe for recipe in recipes_of_kind(kind) if _is_named(recipe.models, names)]
    return found[0] if len(found) == 1 else None


def recipes_of_kind(kind: str) -> list[Recipe]:
    """Return the recipes for models of the `model_type` `kind`."""
    return [recipe for recipe in RECIPES if kind in recipe.kinds]


def recipe_named(name: str) -> Recipe | None:
    """Return the recipe of that name; None if there is none."""
    return next((recipe for recipe in RECIPES if recipe.name == name), None)


def unsupported_family(names: Sequence[str]) -> UnsupportedFamily | None:
    """Return the unsupported family that one of these names belongs to; None if there is none."""
    return next((family for family in UNSUPPORTED if _is_named(family.models, names)), None)


def _is_named(pattern: str, names: Sequence[str]) -> bool:
    return any(re.search(pattern, name, re.IGNORECASE) for name in names)
