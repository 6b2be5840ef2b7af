"""How a model is asked to write; what is absent is the task's own choice."""

from typing import Annotated

from pydantic import Field, Strict

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.collections import ListSet
from joulebench_api.v1alpha1.decimals import Decimal, PartDecimal
from joulebench_api.v1alpha1.kubernetes import Open
from joulebench_api.v1alpha1.numbers import Int64, PositiveInt
from joulebench_api.v1alpha1.texts import NonEmpty, Text


class Generation(ApiModel):
    """Options of each request to a model."""

    temperature: Decimal | None = None
    top_p: PartDecimal | None = None
    max_tokens: PositiveInt | None = None
    stop: Annotated[tuple[NonEmpty, ...], ListSet(), Field(max_length=64)] | None = None
    seed: Int64 | None = None
    reasoning_effort: NonEmpty | None = None
    top_logprobs: Annotated[int, Strict(), Field(ge=0, le=20)] | None = None
    system_prompt: Text | None = None
    chat_template_params: Open | None = None
    extra_body: Open | None = None
