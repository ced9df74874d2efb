"""Checks of API keys and TLS."""

from rerank_service.tools.doctor.finding import Finding, ok


def keys_finding(*, required: bool, loopback: bool) -> Finding:
    """Return whether callers need an API key. `loopback`: only this machine can connect."""
    if required:
        return ok("API keys", "callers need an API key")
    reach = "only this machine can connect" if loopback else "every caller that reaches the addresses is admitted"
    return ok("API keys", f"no key is required, and {reach}")


def tls_finding(not_after: str | None, *, mutual: bool) -> Finding:
    """Return whether TLS is on, and until when its certificate is valid. None: TLS is off."""
    if not_after is None:
        return ok("TLS", "off: connections are not encrypted")
    clients = ", and clients need a certificate" if mutual else ""
    return ok("TLS", f"on{clients}; the certificate is valid until {not_after}")
