"""Copies of archives in an S3-shaped store, each put there once and locked for as long as was asked.

Credentials are those of the environment (AWS_ACCESS_KEY_ID, a profile, a role): none stand in settings.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from conductor.base.errors import ConfigError, Unreachable


class ObjectStore:
    """One bucket. Raises `ConfigError` where the extra `s3` is not installed."""

    def __init__(self, url: str | None, bucket: str, lock_days: int | None) -> None:
        try:
            import boto3  # pyright: ignore[reportMissingTypeStubs]
            from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]
        except ImportError:
            raise ConfigError(
                "archive.bucket is set, and the extra s3 is not installed: pip install 'conductor-jobs[s3]'"
            ) from None
        self._bucket = bucket
        self._lock_days = lock_days
        self._where = f"{url or 'S3'} (bucket {bucket})"
        config = Config(
            connect_timeout=10,
            read_timeout=60,
            retries={"max_attempts": 3},
            s3={"addressing_style": "path"},
            # The hash is given beforehand; what follows behind a body not every such store understands.
            request_checksum_calculation="when_required",
        )
        self._client: Any = boto3.client("s3", endpoint_url=url, config=config)  # pyright: ignore[reportUnknownMemberType]

    def keep(self, file: Path, key: str, now: float) -> bool:
        """It lies there, with these very bytes. False: it did so already. `now`: epoch seconds; the lock runs
        from then. Raises `Unreachable`, `ConfigError`, `OSError`."""
        from botocore.exceptions import (  # pyright: ignore[reportMissingTypeStubs]
            BotoCoreError,
            ClientError,
            NoCredentialsError,
        )

        sha256 = _digest(file, "sha256")
        try:
            if self._has(key, sha256.hex()):
                return False
            with file.open("rb") as body:
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=body,
                    Metadata={"sha256": sha256.hex()},
                    # A store that locks wants a hash of one kind or the other; this kind all know.
                    ContentMD5=base64.b64encode(_digest(file, "md5")).decode(),
                    **self._lock(now),
                )
        except NoCredentialsError:
            raise ConfigError(
                f"{self._where} asks for credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from None
        except ClientError as e:
            raise ConfigError(f"{self._where} refused {key}: {_words_of(e)}") from None
        except BotoCoreError as e:
            raise Unreachable(f"{self._where} cannot be reached: {e}") from None
        return True

    def _lock(self, now: float) -> dict[str, Any]:
        """Nobody can change or remove it until then, whatever rights he has."""
        if self._lock_days is None:
            return {}
        until = datetime.fromtimestamp(now, UTC) + timedelta(days=self._lock_days)
        return {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}

    def _has(self, key: str, sha256: str) -> bool:
        from botocore.exceptions import ClientError  # pyright: ignore[reportMissingTypeStubs]

        try:
            found = self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as e:
            if e.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:  # pyright: ignore[reportUnknownMemberType]
                return False
            raise
        return found.get("Metadata", {}).get("sha256") == sha256


def _digest(file: Path, name: str) -> bytes:
    with file.open("rb") as source:
        return hashlib.file_digest(source, lambda: hashlib.new(name, usedforsecurity=False)).digest()


def _words_of(error: Any) -> str:
    said: dict[str, Any] = error.response.get("Error", {})
    return f"{said.get('Message') or said.get('Code') or error}"
