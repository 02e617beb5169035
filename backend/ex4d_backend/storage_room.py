"""How much more the data folder may take: the disk's free space and the storage quota."""

import shutil

from ex4d_backend.blobs import BlobStore
from ex4d_backend.client_errors import Refusal
from ex4d_backend.settings import ServerSettings
from ex4d_backend.store import JobStore
from ex4d_backend.uploads import Uploads


class StorageRoom:
    """Refuses what would fill the disk or go beyond the quota. Sizes are bytes."""

    def __init__(self, settings: ServerSettings, blobs: BlobStore, uploads: Uploads, store: JobStore) -> None:
        """Counts what these three hold."""
        self._settings, self._blobs, self._uploads, self._store = settings, blobs, uploads, store

    @property
    def disk_free_bytes(self) -> int:
        """What the disk of the data folder has left."""
        return shutil.disk_usage(self._settings.folder).free

    @property
    def blob_bytes(self) -> int:
        """Uploaded files, whole ones and those under way."""
        return self._blobs.total_bytes + self._uploads.received_bytes

    @property
    def _stored_bytes(self) -> int:
        return self.blob_bytes + self._store.result_bytes()

    def check(self, size: int, detail: str = "") -> None:
        """Raise Refusal if ``size`` more bytes may not be stored. No job waits for what was only announced."""
        free, text = self.disk_free_bytes, ""
        quota = self._settings.storage_bytes
        if free - size < self._settings.keep_free_bytes:
            text = f"The backend's disk has {free >> 20} MiB left, which it keeps free; remove old results or files."
        elif quota and self._stored_bytes + size > quota:
            text = f"The backend's storage quota of {quota >> 20} MiB is used up; acknowledge or expire old jobs."
        if text:
            raise Refusal("storage_full", text, detail=detail)

    def check_upload(self, size: int, detail: str, announced: int) -> None:
        """Raise Refusal if no upload of ``size`` bytes may begin beside what its client has ``announced`` already."""
        self.check(size + self._uploads.reserved_bytes, detail)
        quota, room = self._settings.storage_bytes, self.disk_free_bytes - self._settings.keep_free_bytes
        room = min(room, quota - self._stored_bytes) if quota else room
        if announced and announced + size > room // 2:
            text = "Uploads that this client has begun take half of the room there is; go on with this one later."
            raise Refusal("rate_limited", text, detail=detail)
