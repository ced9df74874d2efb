"""Exceptions of voyageai, by HTTP status. Its integrations raise them, too."""

from voyageai import error

VOYAGE_ERRORS = {
    400: error.InvalidRequestError,
    401: error.AuthenticationError,
    404: error.APIError,
    413: error.APIError,
    429: error.RateLimitError,
    500: error.ServerError,
    503: error.ServiceUnavailableError,
}
