"""An SMS gateway's configuration: in what one differs from another. Data, as a city's platform is.

What it does not say, the shipped configuration that it is `based_on` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from alerts.channels.answers import Codes, SecretHeaders, SecretUrl, host
from alerts.channels.interface import ChannelConfig
from alerts.channels.platform.city import CodeSet, Times
from alerts.channels.platform.signers import Signer
from alerts.channels.platform.signers.fixed import NoSigner
from alerts.channels.platform.template import Part, compiled
from alerts.channels.shipped import GENERIC
from alerts.channels.sms.shipped import SHIPPED
from alerts.duty.roster import masked
from underfoot.links import LONGEST_TOKEN

TOKENS = {
    "$text": "the message with its link, as one text",
    "$numbers": "the numbers, as a list",
    "$numbers_text": "the numbers, with commas between",
    "$params": "the template's parameters, as an object",
    "$params_text": "the same as JSON text",
    "$params_list": "their values, as a list in this order",
    "$sign_name": "the setting sign_name",
    "$template_code": "the setting template_code",
}

LINK_FIELDS = {
    "link": 0,
    "link_key": LONGEST_TOKEN,
    "link_head": LONGEST_TOKEN // 2,
    "link_rest": LONGEST_TOKEN // 2,
}
"""A link or a part of one, and how many characters it may have; 0: that depends on the public URL."""

Number = Annotated[str, Field(pattern=r"^\+?[0-9]{5,20}$")]


class SmsConfig(ChannelConfig):
    based_on: str = Field(GENERIC, description="The shipped gateway that says what this one does not")
    about: str = Field("", description="For people: which gateway, and where the facts are from")
    url: SecretUrl = Field(description="Where the gateway takes messages")
    encoding: Literal["json", "form"] = Field("json", description="How the body is written: json, or form")
    headers: SecretHeaders = Field(default_factory=dict, description="Fixed headers, e.g. Authorization")
    signer: Signer = Field(default_factory=NoSigner, description="How requests are signed (docs/platforms.md)")
    numbers: tuple[Number, ...] = Field(
        (), max_length=50, description="Who gets it, a list; none: whoever is on duty, by mobile numbers of the roster"
    )
    body: dict[str, Any] = Field(
        default_factory=dict, description=f"The gateway's fields, made of ours and of {', '.join(TOKENS)}"
    )
    sign_name: str = Field("", max_length=20, description="短信签名, as the provider has approved it")
    template_code: str = Field("", description="The provider's number of the approved template")
    params: dict[str, Any] = Field(default_factory=dict, description="The template's parameters, made of ours")
    param_longest: int = Field(35, ge=5, description="Characters that a parameter may have")
    absent_param: str = Field("", description="What stands for a parameter that has no value")
    longest: int = Field(300, ge=70, description="Characters that a message may have; a longer one loses its link")
    code_path: str = Field("code", pattern=r"^[^.\s]+(\.[^.\s]+)*$", description="Where the code stands in the answer")
    success_codes: CodeSet = Field(frozenset({0}), description="Codes that mean: taken", min_length=1)
    busy_codes: CodeSet = Field(frozenset(), description="… that mean: later")
    sink_failure_codes: CodeSet = Field(frozenset(), description="… that mean: account, signature or template is wrong")
    bad_message_codes: CodeSet = Field(frozenset(), description="… that mean: this message will never be taken")

    @model_validator(mode="before")
    @classmethod
    def _on_its_base(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {**SHIPPED.base_of(given), **given}

    @field_validator("body", "params")
    @classmethod
    def _is_template(cls, given: dict[str, Any]) -> dict[str, Any]:
        compiled(given)
        for token in _texts(given):
            if token.startswith("$") and token not in TOKENS:
                raise ValueError(f"{token!r}: there is no such token; there are {', '.join(TOKENS)}")
        return given

    @model_validator(mode="after")
    def _complete(self) -> Self:
        used = set(_texts(self.body))
        if not used & {"$numbers", "$numbers_text"}:
            raise ValueError("body: must hold $numbers or $numbers_text: else nobody gets it")
        if not used & {"$text", "$params", "$params_text", "$params_list"}:
            raise ValueError(
                "body: must hold $text or one of $params, $params_text, $params_list: else nothing is said"
            )
        for token, name in (("$sign_name", "sign_name"), ("$template_code", "template_code")):
            if token in used and not getattr(self, name):
                raise ValueError(f"{name}: is needed: the body has {token}")
        if used & {"$params", "$params_text", "$params_list"} and not self.params:
            raise ValueError("params: at least one is needed: the body has them")
        for name, given in self.params.items():
            for field in sorted(compiled(given).fields()):
                if LINK_FIELDS.get(field, 0) > self.param_longest:
                    raise ValueError(
                        f"params.{name}: {{{field}}} has up to {LINK_FIELDS[field]} characters, param_longest is"
                        f" {self.param_longest}: a link that is cut opens nothing; {{link_head}} and {{link_rest}} are"
                        f" the halves of {{link_key}}, for two variables"
                    )
        return self

    @cached_property
    def filled_body(self) -> Part:
        return compiled(self.body)

    @cached_property
    def filled_params(self) -> Part:
        return compiled(self.params)

    @cached_property
    def linking(self) -> frozenset[str]:
        """The parameters that hold a link or a part of one: these are never cut."""
        return frozenset(name for name, given in self.params.items() if compiled(given).fields() & set(LINK_FIELDS))

    @property
    def times(self) -> Times:
        return Times()

    def place(self) -> str:
        to = ", ".join(masked(number) or "" for number in self.numbers) or "值班人员"
        return f"{to} ({host(self.url)})"

    def codes(self) -> Codes:
        return Codes(
            (self.code_path,),
            self.success_codes,
            self.busy_codes,
            self.sink_failure_codes,
            self.bad_message_codes,
            worded=True,
        )


def _texts(given: Any) -> list[str]:
    if isinstance(given, Mapping):
        return [text for part in given.values() for text in _texts(part)]
    if isinstance(given, list):
        return [text for part in given for text in _texts(part)]
    return [given] if isinstance(given, str) else []
