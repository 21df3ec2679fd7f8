"""Files of tenants, on a local disk or in S3: `open_storage(url).tenant(name)`."""

from objectscan.storage.base import StoredFile, TenantStorage
from objectscan.storage.links import LinkSigner
from objectscan.storage.open import Storage, open_storage

__all__ = ["LinkSigner", "Storage", "StoredFile", "TenantStorage", "open_storage"]
