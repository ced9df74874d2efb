"""Variables that Kubernetes adds to a pod for each Service of its namespace, unless `enableServiceLinks` is false.

For a Service named `rerank` or `rerank-…`, they begin with RERANK_. Their forms, by kubelet's envvars.go:

    RERANK_SERVICE_HOST  RERANK_SERVICE_PORT  RERANK_SERVICE_PORT_<name of the port>
    RERANK_PORT=tcp://…  RERANK_PORT_8080_TCP=tcp://…  RERANK_PORT_8080_TCP_PROTO  …_PORT  …_ADDR
"""

import re

_NAME = re.compile(r"RERANK(_\w+)?_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)", re.ASCII)
_PORT = re.compile(r"RERANK(_\w+)?_PORT", re.ASCII)
_URL = re.compile(r"(tcp|udp|sctp)://")


def is_service_link(name: str, value: str) -> bool:
    """Return whether Kubernetes has set a variable for a Service whose name begins with `rerank`."""
    return bool(_NAME.fullmatch(name) or (_PORT.fullmatch(name) and _URL.match(value)))
