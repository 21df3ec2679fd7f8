from __future__ import annotations

import stat

import pytest

from objectscan.errors import BadServiceSetup
from objectscan.jobs.queue import wake_app
from objectscan.jobs.setup import environment_of, setup_from
from objectscan.settings import settings_from


def setup_with(tmp_path, **values):
    table = {"data_folder": str(tmp_path / "data"), **values}
    return setup_from(settings_from({f"OBJECTSCAN_{name.upper()}": str(v) for name, v in table.items()}))


def test_without_addresses_all_lies_in_the_data_folder_for_its_owner_only(tmp_path):
    setup = setup_with(tmp_path)
    data = tmp_path / "data"
    assert setup.database_url == f"sqlite:///{data}/jobs.db" and setup.storage_url == f"file://{data}/files"
    assert setup.message_folder == data / "messages" and setup.work_folder == data / "work"
    wake_app(setup)
    for folder in (data, data / "work", data / "messages" / "data", data / "messages" / "control"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_relative_folders_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert setup_with(tmp_path, data_folder="here").data_folder == tmp_path / "here"


def test_three_addresses_change_everything(tmp_path):
    setup = setup_with(
        tmp_path,
        database_url="postgresql+psycopg://u@h/d",
        broker_url="amqp://h//",
        storage_url="s3://bucket",
    )
    assert (setup.database_url, setup.storage_url) == ("postgresql+psycopg://u@h/d", "s3://bucket")
    assert setup.message_folder is None and wake_app(setup).conf.broker_url == "amqp://h//"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"broker_url": "kafka://h"}, "kafka"),
        ({"broker_url": "filesystem://relative"}, "not absolute"),
        ({"data_folder": "/proc/nowhere"}, "/proc/nowhere"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_by_name(tmp_path, values, words):
    with pytest.raises(BadServiceSetup, match=words):
        setup_with(tmp_path, **values)


def test_another_process_gets_the_same_settings_by_its_environment(tmp_path):
    settings = setup_with(tmp_path, lease_s=12.5, max_views=7).settings
    assert settings_from(environment_of(settings)) == settings


def test_celery_is_set_as_the_measurements_ask(tmp_path):
    redis = wake_app(setup_with(tmp_path, broker_url="redis://h:1/0", job_time_limit_s=100)).conf
    assert (
        redis.broker_transport_options["visibility_timeout"] == 700
    )  # above the time limit, or it runs twice
    assert redis.broker_transport_options["unacked_restore_throttle"] == 1 and redis.worker_disable_prefetch
    rabbit = wake_app(setup_with(tmp_path, broker_url="amqp://h//")).conf
    assert rabbit.task_queues[0].queue_arguments == {"x-queue-type": "quorum"}
    files = wake_app(setup_with(tmp_path)).conf
    options = files.broker_transport_options
    assert options["data_folder_in"] == options["data_folder_out"] and options["polling_interval"] == 0.5
    assert all(options[name].startswith("/") for name in ("control_folder", "processed_folder"))
    for conf in (redis, rabbit, files):
        assert conf.task_acks_late and not conf.task_reject_on_worker_lost
        assert conf.worker_prefetch_multiplier == 1 and conf.accept_content == ["json"]
    assert redis.worker_enable_remote_control and not files.worker_enable_remote_control
