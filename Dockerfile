# `make image` and `make export-image` build it, with labels and a fixed time. docs/image.md describes the images.
# BASE: any image with Python 3.11 or newer and its venv. EXTRA: cpu, openvino or gpu.
ARG BASE=python:3.12-slim
# Labels, from the project and its commit
ARG VERSION=
ARG REVISION=
ARG CREATED=

# What builds: pip, hatchling and cyclonedx-py in fixed versions, and the wheel.
# Secrets, both optional: `pip` is a pip.conf, `ca` a file of authorities that pip.conf may name as /run/secrets/ca
FROM ${BASE} AS tools
WORKDIR /src
COPY service/image service/image
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    python3 -m venv /opt/tools \
 && /opt/tools/bin/python3 -m pip install --no-cache-dir -c service/image/tools.txt pip hatchling cyclonedx-bom
COPY LICENSE README.md pyproject.toml ./
COPY export export
COPY proto proto
COPY service service
RUN /opt/tools/bin/python3 -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel .

FROM tools AS build
ARG SOURCE_DATE_EPOCH=0
ARG EXTRA=cpu
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    service/image/install-environment "${EXTRA}"

FROM ${BASE} AS serve
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
# readiness and both ports, by the variables RERANK_HOST, RERANK_GRPC_PORT, RERANK_REST_PORT and RERANK_TLS_*
HEALTHCHECK --interval=10s --timeout=5s --start-period=5m --retries=3 \
  CMD ["python3", "-m", "rerank_service.cli.health_check"]
ENTRYPOINT ["rerank"]
CMD ["serve"]
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="rerank-service" \
      org.opencontainers.image.description="A self-hosted reranker: cross-encoders on ONNX Runtime behind gRPC and Cohere-style REST" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="https://github.com/rerank-service/rerank-service" \
      org.opencontainers.image.licenses="Apache-2.0"

# torch lives in this stage and the next one only
# INDEX: a package index with CPU builds of torch, which saves gigabytes; asked beside the usual one.
FROM tools AS build-export
ARG SOURCE_DATE_EPOCH=0
ARG INDEX=
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    service/image/install-environment export ${INDEX:+--extra-index-url "${INDEX}"}

# `make export-image`: what makes bundles
FROM ${BASE} AS export
COPY --from=build-export /opt/rerank /opt/rerank
# the caller's folder: models are read from it, bundles are written to out/ in it, the hub's cache is kept in it
RUN mkdir -m 1777 /data
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
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="rerank-service-export" \
      org.opencontainers.image.description="The exporter of rerank-service: cross-encoders to ONNX bundles" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="https://github.com/rerank-service/rerank-service" \
      org.opencontainers.image.licenses="Apache-2.0"

# the default; older buildah builds all stages before the last one, so `make image` names the stage
FROM serve
