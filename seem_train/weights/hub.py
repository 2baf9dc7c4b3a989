"""The Hugging Face hub, or its mirror in `$HF_ENDPOINT`: what goes wrong there, and whether it answers.

Its library is imported late: only what fetches something needs it.
"""

from __future__ import annotations


def failures() -> tuple[type[Exception], ...]:
    """What the hub's library raises where nothing can be fetched."""
    from huggingface_hub.errors import HfHubHTTPError

    # The base of all errors of its HTTP library, which is another one in each of its versions.
    return OSError, HfHubHTTPError.__bases__[0]


def check_answers(repository: str) -> None:
    """Ask the hub once, with its own patience of 10 seconds (`$HF_HUB_ETAG_TIMEOUT`), unless this machine has
    the repository in its cache: a download asks again and again, for most of a minute.

    Raises:
        OSError: nobody answers.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(repository, local_files_only=True)
    except LocalEntryNotFoundError:
        try:
            get_hf_file_metadata(hf_hub_url(repository, "model.safetensors"))
        except HfHubHTTPError:  # an answer, too: what there is to fetch, whoever fetches it finds out
            return
        except failures() as error:  # pyright: ignore[reportGeneralTypeIssues]
            raise OSError(str(error)) from None
