"""What verbs need from the machine: its settings."""

from __future__ import annotations

import os

from objectscan.settings import Settings, settings_from


def machine_settings() -> Settings:
    """Settings from the environment of this process."""
    return settings_from(os.environ)
