"""Addresses as they are written."""


def address(host: str, port: int) -> str:
    """Host and port; an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
