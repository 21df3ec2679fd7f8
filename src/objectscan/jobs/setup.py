"""What a service is made of: three addresses and a folder. Empty settings mean this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from objectscan.errors import BadServiceSetup
from objectscan.jobs.claims import Limits
from objectscan.settings import SETTINGS, Settings

BROKERS = ("filesystem", "redis", "rediss", "amqp", "amqps")


@dataclass(frozen=True, slots=True)
class Setup:
    """Where a service keeps what. Secrets stand in the addresses: never log them."""

    settings: Settings
    data_folder: Path
    """Absolute."""
    database_url: str
    broker_url: str
    storage_url: str
    work_folder: Path
    """Absolute; photos and stage results of the jobs that run on this machine."""

    @property
    def message_folder(self) -> Path | None:
        """Where messages lie if they are files."""
        parts = urlsplit(self.broker_url)
        return Path(unquote(parts.path)) if parts.scheme == "filesystem" else None

    @property
    def limits(self) -> Limits:
        """How often and how soon a job is tried again."""
        settings = self.settings
        return Limits(int(settings["max_attempts"]), float(settings["backoff_cap_s"]))

    def seconds(self, name: str) -> float:
        """A setting that is a time."""
        return float(self.settings[name])


def setup_from(settings: Settings) -> Setup:
    """The service that the settings describe; makes its folders, readable by their owner only.

    Raises:
        BadServiceSetup: An address is of an unknown kind, or a folder can't be made.
    """
    data = _folder(str(settings["data_folder"]))
    work = _folder(str(settings["work_folder"]) or str(data / "work"))
    broker = str(settings["broker_url"]) or f"filesystem://{quote(str(data / 'messages'))}"
    parts = urlsplit(broker)
    if parts.scheme not in BROKERS:
        raise BadServiceSetup(
            f"There is no support for messages by '{parts.scheme}'.",
            hint=f"OBJECTSCAN_BROKER_URL begins with one of: {', '.join(BROKERS)}.",
        )
    if parts.scheme == "filesystem" and not (parts.path and not parts.netloc):
        raise BadServiceSetup(
            "The folder of the messages is not absolute.", hint="Example: filesystem:///var/lib/objectscan/messages."
        )  # fmt: skip
    return Setup(
        settings=settings, data_folder=data, work_folder=work, broker_url=broker,
        database_url=str(settings["database_url"]) or f"sqlite:///{data / 'jobs.db'}",
        storage_url=str(settings["storage_url"]) or f"file://{quote(str(data / 'files'))}",
    )  # fmt: skip


def environment_of(settings: Settings) -> Mapping[str, str]:
    """Variables that give another process the same settings."""
    return {setting.variable: str(settings[setting.name]) for setting in SETTINGS}


def _folder(text: str) -> Path:
    folder = Path(text).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as problem:
        raise BadServiceSetup(
            f"The folder {folder} can't be made: {problem.strerror}.", hint="Choose another data folder."
        ) from problem
    return folder
