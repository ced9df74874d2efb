"""Exceptions of cohere 5 and later, by HTTP status. Integrations raise them, too."""

import cohere

COHERE_ERRORS = {
    400: cohere.BadRequestError,
    401: cohere.UnauthorizedError,
    404: cohere.NotFoundError,
    413: cohere.core.api_error.ApiError,
    429: cohere.TooManyRequestsError,
    500: cohere.InternalServerError,
    503: cohere.ServiceUnavailableError,
}
