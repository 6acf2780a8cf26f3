"""What can go wrong in the service, one meaning each."""

from collections.abc import Mapping, Sequence


class RegistryError(Exception):
    """The registry does not answer, so it is unknown what should be served."""


class Problem(Exception):  # noqa: N818 -- RFC 9457 calls it so
    """An answer that is an error, as RFC 9457 describes it.

    Parameters
    ----------
    status : int
    detail : str
        What is wrong and what to do. Never a value that a client has sent.
    errors : sequence of mapping, optional
        One entry for each field: ``pointer`` (RFC 6901), ``detail``.
    headers : mapping of str to str, optional
        Further ones of the answer.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
