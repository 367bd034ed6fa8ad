"""How a city's platform shows that a callback is its own. The way back of `signers/`; a new way is a new class here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from alerts.channels.platform.verifiers.fixed import HeaderVerifier, NoVerifier
from alerts.channels.platform.verifiers.gateway import GatewayVerifier
from alerts.channels.platform.verifiers.parameters import ParameterVerifier
from alerts.channels.platform.verifiers.sealed import SealedVerifier

Verifier = Annotated[
    NoVerifier | HeaderVerifier | GatewayVerifier | ParameterVerifier | SealedVerifier, Field(discriminator="kind")
]
