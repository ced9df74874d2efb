# `make image`. BASE: any image with Python 3.11 or newer, its venv and its pip. EXTRA: cpu, openvino or gpu.
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ARG EXTRA=cpu
WORKDIR /src
COPY LICENSE README.md pyproject.toml ./
COPY export export
COPY proto proto
COPY service service
# pip stays out of the environment, and so out of the image
RUN python3 -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheel . \
 && python3 -m venv --without-pip /opt/rerank \
 && python3 -m pip --python /opt/rerank/bin/python3 install --no-cache-dir \
      -c service/constraints.txt "$(ls /wheel/*.whl)[${EXTRA}]"

# `make export-image`: what makes bundles; torch lives in this stage only, and nothing is copied from it.
# INDEX: a package index with CPU builds of torch, which saves gigabytes; asked beside the usual one.
FROM ${BASE} AS export
ARG INDEX=
COPY --from=build /src/export/constraints.txt /tmp/constraints.txt
COPY --from=build /wheel /wheel
RUN python3 -m venv --without-pip /opt/rerank \
 && python3 -m pip --python /opt/rerank/bin/python3 install --no-cache-dir ${INDEX:+--extra-index-url "${INDEX}"} \
      -c /tmp/constraints.txt "$(ls /wheel/*.whl)[export]" \
 && mkdir -m 1777 /data
# the caller's folder: models are read from it, bundles are written to out/ in it, the hub's cache is kept in it
WORKDIR /data
# whoever runs it, by `docker run --user`, has a home and a name, which libraries ask for
ENV HF_HOME=/data/.cache/huggingface \
    HOME=/tmp \
    ORT_DISABLE_TELEMETRY=1 \
    PATH=/opt/rerank/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    USER=rerank
USER 65532:65532
ENTRYPOINT ["rerank", "export"]
CMD ["--help"]

FROM ${BASE}
LABEL org.opencontainers.image.title="rerank-service" \
      org.opencontainers.image.description="A self-hosted reranker: cross-encoders on ONNX Runtime behind gRPC and Cohere-style REST" \
      org.opencontainers.image.licenses="Apache-2.0"
# root's, so that the server cannot change its own code
COPY --from=build /opt/rerank /opt/rerank
# onnxruntime reports to Microsoft unless told not to (docs/Privacy.md of microsoft/onnxruntime)
ENV ORT_DISABLE_TELEMETRY=1 \
    PATH=/opt/rerank/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RERANK_HOST=::
USER 65532:65532
EXPOSE 50051 8080
# readiness and both ports, with TLS if RERANK_TLS_CERT is set
HEALTHCHECK --interval=10s --timeout=5s --start-period=5m --retries=3 \
  CMD ["python3", "-m", "rerank_service.cli.health_check"]
ENTRYPOINT ["rerank"]
CMD ["serve"]
