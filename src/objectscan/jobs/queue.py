"""Wake-up messages: "there is work". Celery carries them; the jobs themselves are rows of the database.

Whoever loses every message loses no job: idle workers look into the database too. So a message that can't be
sent is only logged, and none is ever scheduled for later.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError

from objectscan.jobs.setup import Setup

log = logging.getLogger(__name__)

WAKE_TASK = "objectscan.wake"
_QUEUE = "gpu"
_MARGIN_S = 600
"""A message outlives its job's time limit by so much before Redis hands it to somebody else."""
_CONNECT_S = 2.0
"""How long a request may wait for a broker that does not answer."""


def wake_app(setup: Setup) -> Celery:
    """Celery as this service uses it; connects when it is first used."""
    kind = urlsplit(setup.broker_url).scheme
    folder = setup.message_folder
    broker = "filesystem://" if folder is not None else setup.broker_url
    app = Celery("objectscan", broker=broker, set_as_current=False)
    app.conf.update(_COMMON)
    app.conf.worker_enable_remote_control = folder is None
    app.conf.task_queues = [Queue(_QUEUE)]
    if folder is not None:
        app.conf.broker_transport_options = _folders(folder)
    elif kind.startswith("redis"):
        app.conf.broker_transport_options = _redis_options(setup)
        app.conf.worker_disable_prefetch = True
    else:
        app.conf.task_queues = [Queue(_QUEUE, queue_arguments={"x-queue-type": "quorum"})]
        app.conf.broker_transport_options = {"connect_timeout": _CONNECT_S, "confirm_publish": True}
    return app


def publish_wake(app: Celery, job_id: str) -> bool:
    """Wake a worker; False if the broker did not take it, which delays the job by a poll at most."""
    try:
        app.send_task(WAKE_TASK, args=(job_id,), queue=_QUEUE)
    except (OperationalError, OSError) as problem:
        log.warning("No wake-up could be sent: %s", problem, extra={"job_id": job_id})
        return False
    return True


_COMMON: dict[str, Any] = {
    "task_acks_late": True,
    "task_acks_on_failure_or_timeout": True,
    "task_reject_on_worker_lost": False,  # the lease decides; no poison loop
    "worker_prefetch_multiplier": 1,
    "worker_concurrency": 1,
    "worker_pool": "threads",
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_connection_timeout": _CONNECT_S,
    "broker_heartbeat": 30,
    "task_ignore_result": True,
    "result_backend": None,
    "accept_content": ["json"],
    "task_serializer": "json",
    "task_default_queue": _QUEUE,
    "task_publish_retry_policy": {"max_retries": 2, "interval_start": 0.1},
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
}


def _folders(folder: Path) -> dict[str, Any]:
    paths = {name: folder / name for name in ("data", "control", "processed")}
    for path in paths.values():
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {
        "data_folder_in": str(paths["data"]),
        "data_folder_out": str(paths["data"]),
        "control_folder": str(paths["control"]),
        "processed_folder": str(paths["processed"]),
        "polling_interval": 0.5,
    }


def _redis_options(setup: Setup) -> dict[str, Any]:
    return {
        "visibility_timeout": setup.seconds("job_time_limit_s") + _MARGIN_S,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "health_check_interval": 25,
        "socket_keepalive": True,
        "socket_connect_timeout": _CONNECT_S,
    }
