"""Settings: from the environment (`UNDERFOOT_*`), else a TOML file, else what the local stack recorded, else a default.

The file is `UNDERFOOT_SETTINGS`, or `underfoot.toml` in the working directory. Every setting carries its own meaning;
`underfoot settings` prints them all.
"""

from __future__ import annotations

import json
import os
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from underfoot.brokers import Brokers
from underfoot.clock import TimeLapse

Origin = Literal["environment", "file", "local stack", "default"]


def _url(schemes: tuple[str, ...], example: str) -> BeforeValidator:
    def check(value: object) -> object:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str) and (urlsplit(text).scheme not in schemes or not urlsplit(text).hostname):
            raise ValueError(f"a URL like {example}")
        return value

    return BeforeValidator(check)


def _with_commas(value: object) -> object:
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


def _check_brokers(value: object) -> object:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(text, str):
        Brokers.from_url(text)
    return value


def _time_lapse(value: object) -> object:
    if not isinstance(value, str):
        return value
    lapse = TimeLapse.parse(value)
    if (lapse.until - datetime.now(UTC)).total_seconds() > _LONGEST_LAPSE_H * 3600:
        raise ValueError(f"{lapse.until.isoformat()} is more than {_LONGEST_LAPSE_H} h ahead")
    return lapse


_LONGEST_LAPSE_H = 24
Port = Annotated[int, Field(ge=1, le=65535)]
ShardNames = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")], ...],
    NoDecode,
    BeforeValidator(_with_commas),
    Field(min_length=1),
]
Minutes = Annotated[
    tuple[Annotated[int, Field(ge=0, le=10_080)], ...],
    NoDecode,
    BeforeValidator(_with_commas),
    Field(min_length=4, max_length=4),
]
DatabaseUrl = Annotated[SecretStr, _url(("postgresql", "postgres"), "postgresql://user:password@host:5432/underfoot")]
MqttUrl = Annotated[SecretStr, BeforeValidator(_check_brokers)]
HttpUrl = Annotated[str, _url(("http", "https"), "http://host:3000")]


def default_home() -> Path:
    """`.underfoot` beside pyproject.toml in a checkout, so that two checkouts never share a database."""
    checkout = Path(__file__).resolve().parent.parent
    return (checkout if (checkout / "pyproject.toml").exists() else Path.home()) / ".underfoot"


class LocalStackSource(PydanticBaseSettingsSource):
    """The URLs of the local stack, as `underfoot up` recorded them in `stack.json`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        home = Path(self.current_state.get("home") or default_home())
        try:
            record = json.loads((home / "stack.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {name: record[name] for name in ("database_url", "mqtt_url") if record.get(name)}


class TomlSource(PydanticBaseSettingsSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        named = os.environ.get("UNDERFOOT_SETTINGS")
        path = Path(named or "underfoot.toml")
        if not path.exists():
            if named:
                raise SettingsError(f"UNDERFOOT_SETTINGS: there is no file {named}")
            return {}
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: not a TOML file: {error}") from error


class SettingsError(Exception):
    """A setting is wrong: says which, its value, and what is allowed."""


class Settings(BaseSettings):
    """Everything that can be set, each with its meaning."""

    model_config = SettingsConfigDict(env_prefix="UNDERFOOT_", extra="forbid", frozen=True, hide_input_in_errors=False)

    home: Path = Field(
        default_factory=default_home, description="Where the local stack keeps its data, logs and stack.json"
    )
    database_url: DatabaseUrl | None = Field(
        None, description="TimescaleDB, as a postgresql:// URL. Unset: the local stack's, started by `underfoot up`"
    )
    mqtt_url: MqttUrl | None = Field(
        None,
        description="MQTT broker, as an mqtt:// or mqtts:// URL; of a cluster, several hosts with commas between."
        " Unset: the local stack's",
    )
    mqtt_ca: Path | None = Field(
        None,
        description="Authority that the certificate of an mqtts:// broker must be of (PEM). Unset: the system's",
    )
    postgres_port: Port | None = Field(None, description="Port of the local TimescaleDB. Unset: 55432, or a free one")
    mqtt_port: Port | None = Field(None, description="Port of the local broker. Unset: 51883, or a free one")
    rootfs: Path | None = Field(
        None,
        description="A ready file system with the local stack's programs. Unset: unpacked once into the user's cache",
    )
    api_host: str = Field("127.0.0.1", description="Address the API listens on")
    api_port: Port = Field(58080, description="Port the API listens on")
    public_url: HttpUrl | None = Field(
        None,
        description="How people reach the API from outside: links in messages begin with it. Unset: its address",
    )
    api_proxies: str = Field(
        "127.0.0.1",
        description="Proxies before the API, with commas between: whose X-Forwarded-For and -Proto are believed",
    )
    api_rate_per_s: float = Field(
        100, gt=0, le=100_000, description="Calls that one caller may make per second in the long run, in one process"
    )
    api_burst: int = Field(1000, ge=1, le=1_000_000, description="Calls that one caller may make at once")
    api_unknown_rate_per_s: float = Field(
        20,
        gt=0,
        le=100_000,
        description="Calls per second in the long run from one address without a key or session that opens anything",
    )
    api_unknown_burst: int = Field(
        400, ge=1, le=1_000_000, description="Calls at once from one address without a key or session"
    )
    session_idle_h: float = Field(
        12, gt=0, le=720, description="How long a session may rest before one must log in again (hours)"
    )
    session_longest_h: float = Field(
        168, gt=0, le=2160, description="How long a session lasts at most, however much it is used (hours)"
    )
    oidc: Path | None = Field(
        None, description="YAML file: the OpenID provider at which people log in, and what whom its claims make"
    )
    oidc_secret: SecretStr | None = Field(None, description="Our client secret at that provider")
    shards: ShardNames | None = Field(
        None, description="The shards that this `underfoot ingest` may hold, with commas between. Unset: any"
    )
    takeover_after_s: float = Field(
        15,
        ge=1.5,
        le=600,
        description="How long an ingest must be seen not to live before others take its shards (seconds);"
        " cut off from the database, it lets go of them by itself after two thirds of that. The same for all of them",
    )
    in_flight: int = Field(
        10_000,
        ge=1,
        le=65535,
        description="Unacknowledged messages to expect at most (the broker's max_inflight_messages)",
    )
    batch_reports: int = Field(2000, ge=1, le=20_000, description="Reports committed together at most")
    batch_linger_ms: int = Field(2, ge=0, le=1000, description="How long a batch waits for company (milliseconds)")
    device_rate_per_s: float = Field(
        10,
        gt=0,
        le=100_000,
        description="Reports that one device may send per second in the long run; what is over it is quarantined",
    )
    device_burst: int = Field(
        5000,
        ge=1,
        le=10_000_000,
        description="Reports that one device may send at once, after a quiet time: its backlog",
    )
    keepalive_s: int = Field(30, ge=5, le=3600, description="MQTT keepalive (seconds)")
    probe_interval_s: float = Field(
        10,
        ge=0.2,
        le=60,
        description="How often a shard sends itself a probe, which proves what is caught up (seconds)",
    )
    push_max_bytes: int = Field(
        262_144, ge=1024, le=16_777_216, description="Longest body of an HTTP push that is taken (bytes)"
    )
    inbox_keep_h: float = Field(
        48,
        ge=1,
        description="How long a consumed inbox row is kept, and so for how long the same push again is known (hours)",
    )
    quarantine_rate_per_s: float = Field(
        200,
        ge=0,
        description="Rejected messages of one reason and source that are kept per second in the long run;"
        " what comes beyond is counted, not kept",
    )
    quarantine_burst: int = Field(
        10_000, ge=1, description="Rejected messages of one reason and source that are kept at once, after a quiet time"
    )
    newcomers_per_area: int = Field(
        1000, ge=1, description="Unknown devices that may wait for approval in one district; more are not listed"
    )
    stations_host: str = Field("127.0.0.1", description="Address on which `underfoot stations` awaits SL 651 stations")
    stations_port: Port = Field(56510, description="Port on which `underfoot stations` awaits SL 651 stations")
    stations_shard: str = Field(
        "main", pattern=r"^[a-z0-9_-]{1,32}$", description="The shard whose inbox takes what SL 651 stations send"
    )
    stations_map: Path | None = Field(
        None,
        description="YAML file: which elements of which SL 651 stations become which devices. Unset: as shipped",
    )
    stations_connections: int = Field(4096, ge=1, le=60_000, description="SL 651 stations connected at once at most")
    stations_idle_s: float = Field(
        600, ge=1, le=86_400, description="Silence after which an SL 651 station's connection is closed (seconds)"
    )
    stations_frame_bytes: int = Field(
        4112, ge=64, le=4112, description="Longest frame taken from an SL 651 station (bytes)"
    )
    stations_buffer_bytes: int = Field(
        262_144, ge=4112, le=16_777_216, description="Longest SL 651 message in many packets that is gathered (bytes)"
    )
    stations_stay_online: bool = Field(
        True, description="Acknowledge SL 651 stations with ESC (stay on line) rather than EOT (done)"
    )
    redelivery_s: float = Field(
        0,
        ge=0,
        le=3600,
        description="How long the broker may keep back what was unacknowledged on the connection before, or did not fit"
        " into its window (mosquitto: 0; NATS: above its ack_wait; EMQX: 30). Nothing counts as caught up"
        " before (seconds)",
    )
    clock_settles_s: float = Field(
        600,
        ge=1,
        le=86_400,
        description="How long the machine's clock must have been set back before ingest follows it (seconds)",
    )
    time_lapse: Annotated[TimeLapse | None, NoDecode, BeforeValidator(_time_lapse)] = Field(
        None,
        description="Our clock runs so much faster than the machine's until it meets it, for a fleet that is played at"
        " that speed: `60x until 2026-11-22T14:00:00+08:00`. The same for every process of an installation."
        " Unset: our clock is the machine's",
    )
    timer_interval_s: float = Field(0.5, ge=0.05, le=60, description="How often due timers are looked for (seconds)")
    city_interval_s: float = Field(
        2, ge=0.1, le=60, description="How often what takes several devices is judged: a tick of the city (seconds)"
    )
    realarm_min: Minutes = Field(
        (0, 0, 240, 60),
        description="After how many minutes an acknowledged alarm that is still open is unacknowledged again, where its"
        " rule doesn't say: 蓝, 黄, 橙, 红, with commas between; 0: never",
    )
    shelve_longest_h: float = Field(72, gt=0, le=8784, description="How long an alarm may be shelved at most (hours)")
    bulk_most: int = Field(5000, ge=1, le=50_000, description="Alarms that one call may act on together at most")
    replay_settle_s: float = Field(
        2,
        ge=0,
        le=60,
        description="A device's past is judged again when nothing late has come of it for so long (seconds)",
    )
    delivery_workers: int = Field(8, ge=1, le=64, description="Deliveries under way at once")
    delivery_timeout_s: float = Field(10, gt=0, le=120, description="Time-out of one delivery request (seconds)")
    delivery_retry_base_s: float = Field(
        1, gt=0, le=60, description="First retry of a delivery (seconds); doubles up to 5 min, jittered"
    )
    receipt_after_s: float = Field(
        900, gt=0, description="How old an undelivered red delivery may be before /readyz shows it (seconds)"
    )
    grafana_url: HttpUrl | None = Field(None, description="Grafana that `underfoot grafana push` writes to")
    grafana_token: SecretStr | None = Field(None, description="Service-account token for that Grafana")
    grafana_database_url: DatabaseUrl | None = Field(
        None,
        description="How that Grafana reaches the database, as `underfoot grafana reader` prints it."
        " Unset: where we reach it, without a password",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlSource(settings_cls), LocalStackSource(settings_cls)

    def shown(self) -> dict[str, str]:
        """Every setting by its variable's name, as people may see it: secrets are masked."""
        return {f"UNDERFOOT_{name.upper()}": _shown(getattr(self, name)) for name in type(self).model_fields}

    def require_database(self) -> str:
        if self.database_url is None:
            raise SettingsError(
                "UNDERFOOT_DATABASE_URL is not set and the local stack is not up: run `underfoot up`, or set it to a"
                " URL like postgresql://user:password@host:5432/underfoot"
            )
        return self.database_url.get_secret_value()

    def require_mqtt(self) -> str:
        if self.mqtt_url is None:
            raise SettingsError(
                "UNDERFOOT_MQTT_URL is not set and the local stack is not up: run `underfoot up`, or set it to a"
                " URL like mqtt://user:password@host:1883"
            )
        return self.mqtt_url.get_secret_value()

    @property
    def api_url(self) -> str:
        return self.public_url or f"http://{self.api_host}:{self.api_port}"


def load(**overrides: Any) -> Settings:
    """The settings in force. `overrides` win over every source; None among them means not given."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(item) for item in error.errors())) from None


def _explain(error: Any) -> str:
    name = str(error["loc"][0]) if error["loc"] else "settings"
    if error["type"] == "extra_forbidden":
        return f"{name}: there is no such setting; `underfoot settings` lists them all"
    value = error["input"]
    secret = name in Settings.model_fields and "SecretStr" in str(Settings.model_fields[name].annotation)
    shown = "(secret)" if secret else repr(value)
    return f"UNDERFOOT_{name.upper()} = {shown}: {error['msg']}"


def origins(settings: Settings) -> dict[str, Origin]:
    """Where each setting's value came from."""
    from_file = TomlSource(Settings)()
    found: dict[str, Origin] = {}
    for name in Settings.model_fields:
        if f"UNDERFOOT_{name.upper()}" in {key.upper() for key in os.environ}:
            found[name] = "environment"
        elif name in from_file:
            found[name] = "file"
        elif name in settings.model_fields_set:
            found[name] = "local stack"
        else:
            found[name] = "default"
    return found


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "********"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
