"""Descriptions: the docstrings of classes and of their fields (a text below the field)."""

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise

from joulebench_api.v1alpha1.base import ApiModel


def class_text(model: type[ApiModel]) -> str:
    """The first paragraph of a type's docstring, in one line."""
    return _first_paragraph(inspect.cleandoc(model.__doc__ or ""))


def field_text(model: type[ApiModel], field: str) -> str | None:
    """The docstring of a field, in one line; of the type that it was made from, for derived types."""
    for base in model.__mro__:
        if not (isinstance(base, type) and issubclass(base, ApiModel)):
            continue
        origin = base.derived_from if "derived_from" in vars(base) else None
        found = field_text(origin, field) if origin is not None else _field_texts(base).get(field)
        if found is not None:
            return found
    return None


@cache
def _field_texts(model: type[ApiModel]) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    texts = {}
    for statement, following in pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = _text(following)
            if text is not None:
                texts[statement.target.id] = _first_paragraph(inspect.cleandoc(text))
    return texts


def _text(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return statement.value.value if isinstance(statement.value.value, str) else None
    return None


def _first_paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())
