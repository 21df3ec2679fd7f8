"""From an address to a storage: a folder of this machine, or an S3 bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from objectscan.errors import BadServiceSetup
from objectscan.storage.base import TenantStorage, _told
from objectscan.storage.links import LinkSigner
from objectscan.storage.names import require_tenant

_HINT = "Use file:///FOLDER or s3://BUCKET/PREFIX."
_TENANTS = "tenants"


@dataclass(frozen=True, slots=True)
class Storage:
    """Files of all tenants."""

    store: ObjectStore
    signer: LinkSigner | None

    def tenant(self, name: str) -> TenantStorage:
        """The part of one tenant; nothing outside it can be reached through it.

        Raises:
            BadKey: That is no name for a tenant.
        """
        return TenantStorage(self.store, f"{_TENANTS}/{require_tenant(name)}/", name, self.signer)

    def tenants(self) -> Iterator[str]:
        """Names of all who keep something."""
        with _told(_TENANTS):
            for prefix in obstore.list_with_delimiter(self.store, _TENANTS)["common_prefixes"]:
                yield prefix.rstrip("/").rpartition("/")[2]


def open_storage(url: str, *, link_secret: bytes = b"") -> Storage:
    """Open the storage at an address.

    Args:
        url: file:///FOLDER, which is made if it is not there, or s3://BUCKET or s3://BUCKET/PREFIX. Region,
            endpoint and credentials of S3 come from the usual AWS_* variables of the environment.
        link_secret: Signs links to local files; S3 signs its own. Without it local files have no links.

    Raises:
        BadServiceSetup: The address can't be used.
    """
    parts = urlsplit(url)
    try:
        if parts.scheme == "file" and not parts.netloc and parts.path:
            folder = Path(unquote(parts.path))
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return Storage(LocalStore(folder), LinkSigner(link_secret) if link_secret else None)
        if parts.scheme == "s3" and parts.netloc:
            prefix = unquote(parts.path).strip("/") or None
            return Storage(S3Store(parts.netloc, prefix=prefix), None)
    except (BaseError, OSError, ValueError) as problem:
        raise BadServiceSetup(f"The storage {url} can't be opened: {problem}.", hint=_HINT) from problem
    raise BadServiceSetup(f"{url!r} is no address of a storage.", hint=_HINT)
