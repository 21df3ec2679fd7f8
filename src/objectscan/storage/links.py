"""Links to local files that whoever has them may use for a while: path, tenant, method and end, signed."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from objectscan.errors import BadKey
from objectscan.storage.names import require_key, require_tenant

Method = Literal["GET", "PUT"]


@dataclass(frozen=True, slots=True)
class LinkSigner:
    """Signs and checks relative links `files/TENANT/KEY?expires=...&method=...&signature=...`."""

    secret: bytes
    clock: Callable[[], float] = time.time

    def link(self, tenant: str, key: str, *, method: Method, expires_s: float) -> str:
        """A link to a tenant's file."""
        expires = int(self.clock() + expires_s)
        path = f"files/{require_tenant(tenant)}/{quote(require_key(key))}"
        signature = self._signature(tenant, key, method, expires)
        return f"{path}?{urlencode({'expires': expires, 'method': method, 'signature': signature})}"

    def open_link(self, link: str, *, method: Method) -> tuple[str, str]:
        """(tenant, key) of a link that is ours, whole and not over.

        Raises:
            BadKey: It is not; the message does not say which, so that nobody can feel their way.
        """
        parts = urlsplit(link)
        _, _, rest = unquote(parts.path).lstrip("/").partition("files/")
        tenant, _, key = rest.partition("/")
        values = dict(parse_qsl(parts.query))
        expires = values.get("expires", "")
        wanted = self._signature(tenant, key, method, int(expires) if expires.isdecimal() else 0)
        is_ours = hmac.compare_digest(values.get("signature", "").encode(), wanted.encode())
        if not is_ours or int(expires) < self.clock():
            raise BadKey("The link is not valid, or not any more.", hint="Ask for a new link.")
        return require_tenant(tenant), require_key(key)

    def _signature(self, tenant: str, key: str, method: str, expires: int) -> str:
        text = "\n".join([method, str(expires), tenant, key])
        return hmac.new(self.secret, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
