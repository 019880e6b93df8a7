# The image of the exporter: a wheel and its pinned dependencies in a virtual environment, no compiler, no pip in it.
# The base is pinned to a minor version so that a rebuild takes its security fixes; a release replaces it by its digest
# (docker buildx build --build-context python:3.13-slim-trixie=docker-image://python:3.13-slim-trixie@sha256:...).
FROM python:3.13-slim-trixie AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# What changes seldom first: with the same hashes this layer is reused.
COPY requirements requirements
RUN pip install --require-hashes --requirement requirements/build.txt \
    && python -m venv --without-pip /opt/exporter \
    && pip --python /opt/exporter/bin/python install --no-compile --require-hashes --requirement requirements/run.txt

COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY exporter exporter
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/exporter/bin/python install --no-compile --no-deps --no-index /wheels/*.whl

# Only what serving imports is compiled to bytecode: a third of the client library's models never is.
RUN PYTHONDONTWRITEBYTECODE='' /opt/exporter/bin/python -P -c \
    "import exporter.app.program, exporter.cli.serve, kubernetes.aio.client, kubernetes.aio.config"

FROM python:3.13-slim-trixie

LABEL org.opencontainers.image.title="istio-port-exporter" \
      org.opencontainers.image.description="A Prometheus exporter for the ports of Istio's data plane and control plane" \
      org.opencontainers.image.licenses="Apache-2.0"

# The root file system may be read-only: nothing is compiled at run time, and there is no home to write to.
ENV PATH=/opt/exporter/bin:$PATH \
    HOME=/ \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

COPY --from=build /opt/exporter /opt/exporter

# A number and not a name, so that Kubernetes can tell that it is not root.
USER 65532:65532
EXPOSE 10520
ENTRYPOINT ["istio-port-exporter"]
CMD ["serve"]
