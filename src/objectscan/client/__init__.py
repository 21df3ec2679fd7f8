"""Talks to an Objectscan service: `Client` waits, `AsyncClient` awaits; both have the same calls.

with Client("http://127.0.0.1:8000", key="os_...") as client:
    job = client.submit("photos/", preset="preview")
    client.wait(job.id)
    client.download(job.id, "out/")
"""

from objectscan.client.aio import AsyncClient
from objectscan.client.model import Artifact, Job, JobEvent, JobPage
from objectscan.client.sync import Client

__all__ = ["Artifact", "AsyncClient", "Client", "Job", "JobEvent", "JobPage"]
