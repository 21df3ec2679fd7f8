"""A model hub over HTTPS, by the addresses of the Hugging Face hub: ENDPOINT/OWNER/NAME/resolve/COMMIT/PATH.

The answer for a large file is a redirect to storage; its headers tell size and SHA-256 (`X-Linked-Size`,
`X-Linked-Etag`) and the commit. Proxies and certificates come from the usual variables of the environment.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

import httpx

from objectscan.errors import BadWeights, DownloadFailed
from objectscan.weights.model import Model, WeightFile
from objectscan.weights.source import Interrupted, Offer

ENDPOINT = "https://huggingface.co"
_TIMEOUT = httpx.Timeout(60.0, connect=20.0)
_MOST_REDIRECTS = 5
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_OFFLINE_HINT = "Or bring the files from elsewhere: `objectscan models pull --from FOLDER`."


class Hub:
    """A hub. Use as a context manager."""

    def __init__(self, endpoint: str = ENDPOINT, token: str | None = None):
        """`token` is sent to the endpoint's own host only: storage elsewhere never sees it."""
        self.name = endpoint.rstrip("/")
        headers = {"Accept-Encoding": "identity", "User-Agent": "objectscan"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            self._client = httpx.Client(headers=headers, timeout=_TIMEOUT)
        except (ValueError, OSError, ImportError) as problem:  # a malformed proxy, a missing certificate file
            raise DownloadFailed(
                f"No connection can be set up: {problem}.",
                hint="Check HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE in the environment.",
            ) from problem

    def __enter__(self) -> Hub:
        """Keep connections open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close them."""
        self._client.close()

    def offer(self, model: Model, file: WeightFile) -> Offer:
        """See `Source.offer`.

        Raises:
            BadWeights: The hub has another file under that name than the catalogue says.
        """
        url = f"{self.name}/{model.repository}/resolve/{model.revision}/{quote(file.path)}"
        headers = self._head(url, model, file)
        commit = headers.get("X-Repo-Commit", model.revision)
        size = headers.get("X-Linked-Size") or headers.get("Content-Length", "")
        sums = headers.get("X-Linked-Etag") or headers.get("ETag", "")
        found = re.fullmatch(r'(?:W/)?"?([0-9a-f]{64})"?', sums)
        if commit != model.revision or not size.isdigit():
            raise DownloadFailed(
                f"{self.name} answers for {model.repository}/{file.path} with revision {commit} and size "
                f"'{size}'; wanted is revision {model.revision}.",
                hint="Set HF_ENDPOINT to a complete mirror, or unset it.",
            )
        offer = Offer(url, int(size), found.group(1) if found else None)
        _require_as_catalogued(offer, model, file)
        return offer

    @contextlib.contextmanager
    def stream(self, offer: Offer, start_bytes: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """See `Source.stream`."""
        wanted = {"Range": f"bytes={start_bytes}-"} if start_bytes else {}
        with (
            _passing_problems(),
            self._client.stream("GET", offer.location, headers=wanted, follow_redirects=True) as answer,
        ):
            _require_good(answer, offer.location)
            # Blocks as they come (64 kB): collected into larger ones, a cut would lose what was collected.
            yield _first_byte(answer, start_bytes), answer.iter_raw()

    def _head(self, url: str, model: Model, file: WeightFile) -> httpx.Headers:
        """Headers of the hub's own answer: redirects within its host are followed, not those to storage."""
        for _ in range(_MOST_REDIRECTS):
            with _passing_problems():
                answer = self._client.head(url)
            target = answer.next_request.url if answer.next_request else None
            is_moved = target is not None and target.host == answer.url.host
            if not is_moved or "X-Linked-Etag" in answer.headers:
                _require_good(answer, f"{model.repository} ({file.path})", model)
                return answer.headers
            url = str(target)
        raise DownloadFailed(f"{url} leads in a circle.", hint="Check HF_ENDPOINT.")


def hub_from(environment: Mapping[str, str]) -> Hub:
    """The hub that `HF_ENDPOINT` names, with the token in `HF_TOKEN`.

    Raises:
        DownloadFailed: The endpoint is no web address.
    """
    endpoint = environment.get("HF_ENDPOINT") or ENDPOINT
    if not re.match(r"https?://[^/\s]+", endpoint):
        raise DownloadFailed(
            f"HF_ENDPOINT is '{endpoint}', no web address.", hint=f"Unset it, or write e.g. {ENDPOINT}."
        )
    return Hub(endpoint, environment.get("HF_TOKEN") or None)


@contextlib.contextmanager
def _passing_problems() -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as problem:
        words = str(problem) or type(problem).__name__
        raise Interrupted(words) from problem
    except (httpx.TooManyRedirects, httpx.InvalidURL) as problem:
        raise DownloadFailed(f"The hub redirects wrongly: {problem}.", hint="Check HF_ENDPOINT.") from problem


def _require_good(answer: httpx.Response, what: str, model: Model | None = None) -> None:
    """Turn a status into an error that says what to do."""
    status = answer.status_code
    if status < 400 and not (status >= 300 and answer.next_request is None):
        return
    if status in _PASSING:
        raise Interrupted(f"{answer.url.host} answered {status}")
    code, page = answer.headers.get("X-Error-Code", ""), model.page if model else what
    told = answer.headers.get("X-Error-Message", "") or answer.reason_phrase
    if status in (401, 403):
        raise DownloadFailed(
            f"{answer.url.host} refuses {what}: {status} {told}.",
            hint=f"If {page} asks for it, accept its conditions there, make a token and set HF_TOKEN. "
            + _OFFLINE_HINT,
        )
    if status == 404:
        missing = {"RevisionNotFound": "the pinned revision", "EntryNotFound": "the file"}.get(
            code, "the repository, revision or file"
        )
        pinned = f" Revision {model.revision} was asked for." if model else ""
        raise DownloadFailed(
            f"{answer.url.host} does not have {missing} of {what}: 404 {told}.{pinned}",
            hint=f"Its owner may have removed or renamed it: see {page}. " + _OFFLINE_HINT,
        )
    raise DownloadFailed(f"{answer.url.host} answered {status} {told} for {what}.", hint=_OFFLINE_HINT)


def _first_byte(answer: httpx.Response, start_bytes: int) -> int:
    if answer.status_code != 206:
        return 0
    match = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if match is None or int(match.group(1)) != start_bytes:
        raise Interrupted(f"asked for bytes from {start_bytes}, got {answer.headers.get('Content-Range')}")
    return start_bytes


def _require_as_catalogued(offer: Offer, model: Model, file: WeightFile) -> None:
    for what, known, told in (
        ("bytes", file.size_bytes, offer.size_bytes),
        ("SHA-256", file.sha256, offer.sha256),
    ):
        if known is not None and told is not None and known != told:
            raise BadWeights(
                f"The hub offers {model.repository}/{file.path} with {what} {told}; {known} is known to be "
                "right.",
                hint="Set HF_ENDPOINT to another mirror, or unset it.",
            )
