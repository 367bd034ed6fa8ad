"""How a request to a city's platform is signed. Cities differ; a new way is a new class here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from alerts.channels.platform.signers.aliyun import AliyunSigner
from alerts.channels.platform.signers.fixed import HeaderSigner, NoSigner
from alerts.channels.platform.signers.gateway import GatewaySigner
from alerts.channels.platform.signers.parameters import ParameterSigner
from alerts.channels.platform.signers.sealed import SealedSigner

Signer = Annotated[
    NoSigner | HeaderSigner | GatewaySigner | ParameterSigner | SealedSigner | AliyunSigner, Field(discriminator="kind")
]
