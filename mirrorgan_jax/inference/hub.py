"""Models of the Hugging Face hub, through `huggingface_hub` (extra [hub])."""

import errno
import pathlib


def _reason(error, name, endpoint, cache):
    """What went wrong with OWNER/NAME/FILE, and what to do, as an error."""
    from huggingface_hub import errors

    repository, _, file = name.rpartition("/")
    by_hand = (
        f"fetch {endpoint}/{repository} by other means into a folder and give that"
        " folder"
    )
    if isinstance(error, errors.RevisionNotFoundError):
        return FileNotFoundError(f"{endpoint}/{repository} has no such revision")
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        return FileNotFoundError(
            f"there is no folder {repository}, and no model of that name at {endpoint}"
            " (or it is private: huggingface_hub's login opens it)"
        )
    # An error of a file that is not in the cache is one of those as well.
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return OSError(
            f"{name}: {endpoint} cannot be reached and {cache} has no copy: {by_hand}"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return FileNotFoundError(f"{endpoint}/{repository} has no {file}")
    if getattr(error, "errno", None) == errno.ENOSPC:
        return OSError(
            f"{name}: the disk of {cache} is full; HF_HOME names another place"
        )
    return OSError(
        f"{name}: {endpoint} failed ({type(error).__name__}: {error}); try again, what"
        f" has arrived is kept, or {by_hand}"
    )


def reader(repository, revision=None):
    """`read(name, most)` of `sources.Files` for a model of the hub.

    A file is downloaded when it is read. The library shows its progress, goes on with
    what an earlier try has begun and keeps what is whole (`HF_HOME`).

    Args:
      repository: OWNER/NAME.
      revision: branch, tag or commit; None: the main branch.

    Raises:
      ModuleNotFoundError: `huggingface_hub` is not installed. Of `read`:
        FileNotFoundError where the hub has no such model, revision or file, OSError
        where it cannot be reached or the disk is full.
    """
    try:
        import huggingface_hub
        from huggingface_hub import constants, errors
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"there is no folder {repository}; a model of that name on the Hugging Face"
            ' hub needs huggingface_hub: pip install "mirrorgan_jax[hub]"',
            name="huggingface_hub",
        ) from error
    # The other files are of the first one's commit, whatever is pushed meanwhile.
    options = {"revision": revision}

    def read(name, most):
        try:
            path = huggingface_hub.hf_hub_download(repository, name, **options)
        except (OSError, ValueError, errors.HfHubHTTPError) as error:
            where = f"{repository}/{name}"
            endpoint, cache = constants.ENDPOINT, constants.HF_HUB_CACHE
            raise _reason(error, where, endpoint, cache) from None
        options["revision"] = pathlib.Path(path).parent.name
        with open(path, "rb") as opened:
            return opened.read(most + 1)

    return read
