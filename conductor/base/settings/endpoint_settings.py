"""`[endpoints.NAME]`, `[rates.NAME]`: servers that jobs call, and what may be asked of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from conductor.base.settings.base_section import NotNegativeFloat, Positive, Section

#: Of the engines that could do a job: those of this host's own first and then what is paid for, only the one
#: kind, or only the other.
EnginePolicy = Literal["local_first", "local_only", "api_only"]


class Rate(Section, frozen=True, kw_only=True):
    """The budget of one API, shared by all workers of all hosts. None: not limited, or not yet known."""

    #: Calls.
    requests_per_min: Annotated[int, Meta(ge=1)] | None = None
    #: Of questions and answers together.
    tokens_per_min: Annotated[int, Meta(ge=1)] | None = None
    #: US dollars in any 24 hours, by the prices of the endpoint of the same name.
    usd_per_day: Positive | None = None


class Endpoint(Section, frozen=True, kw_only=True):
    """A server that tasks may call. Its name is also its rate key."""

    #: «chat»: OpenAI-shaped, for `llm.annotate`. «comfyui» and «video»: engines that draw (`toon.segment`), a
    #: ComfyUI-shaped server and an API that sells film.
    kind: Literal["chat", "comfyui", "video"] = "chat"
    #: Its address; of a chat or video API up to `/v1`.
    base_url: str
    #: What it calls the model. Not set: it has one only.
    model: str = ""
    #: Name of the environment variable that holds the key; the key itself is never written down.
    api_key_env: str | None = None
    #: Members of every request, over Conductor's own: `{temperature = 1, reasoning_effort = "low"}`.
    parameters: dict[str, Any] = {}
    #: Members of Conductor's own that this server is not sent (`temperature`, `max_tokens`). What a model
    #: refuses is left out without that, once it has.
    without: tuple[str, ...] = ()
    #: What a million tokens of a question cost; needed for `rates.KEY.usd_per_day`.
    usd_per_million_input: NotNegativeFloat = 0.0
    #: The same for the tokens of an answer.
    usd_per_million_output: NotNegativeFloat = 0.0
    #: Of a video API: what a second of film costs.
    usd_per_second: NotNegativeFloat = 0.0
