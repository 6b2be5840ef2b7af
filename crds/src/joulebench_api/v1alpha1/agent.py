"""Agents, their tools, and the sandbox that model-written code runs in."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.collections import ListMap
from joulebench_api.v1alpha1.kubernetes import Arguments, Env, Open, ResourceRequirements
from joulebench_api.v1alpha1.numbers import PositiveInt
from joulebench_api.v1alpha1.references import NameRef
from joulebench_api.v1alpha1.rules import exactly_one_of, only_with
from joulebench_api.v1alpha1.texts import HttpUrl, NonEmpty


class McpServer(ApiModel):
    """A server of tools that speaks the Model Context Protocol: one that runs, or an image to run."""

    rules = (
        exactly_one_of("url", "image"),
        only_with("headersSecretRef", "url"),
        only_with("args", "image"),
        only_with("env", "image"),
    )

    url: HttpUrl | None = None
    headers_secret_ref: NameRef | None = None
    image: NonEmpty | None = None
    args: Arguments = ()
    env: Env = ()


class Tool(ApiModel):
    """A tool of the agent."""

    rules = (exactly_one_of("builtin", "mcp"),)

    name: NonEmpty
    builtin: NonEmpty | None = None
    mcp: McpServer | None = None
    params: Open = Field(default_factory=dict)


class Agent(ApiModel):
    """Who answers the questions, if not the model in one turn."""

    name: NonEmpty
    max_turns: PositiveInt | None = None
    params: Open = Field(default_factory=dict)
    tools: Annotated[tuple[Tool, ...], ListMap(), Field(max_length=32)] = ()


class SandboxMode(StrEnum):
    """Where model-written code runs."""

    NONE = "None"
    PROCESS = "Process"
    POD = "Pod"


class Network(StrEnum):
    """What a sandbox may reach."""

    NONE = "None"
    EGRESS = "Egress"


class Sandbox(ApiModel):
    """The place that model-written code runs in."""

    mode: SandboxMode | None = None
    """Absent: what the task needs."""
    image: NonEmpty | None = None
    network: Network = Network.NONE
    resources: ResourceRequirements | None = None
    runtime_class_name: NonEmpty | None = None
    max_concurrent: PositiveInt | None = None
