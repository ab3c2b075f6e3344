# One image for every process of Headroom; the command chooses which (see docker-compose.yml).
FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/headroom
WORKDIR /src
COPY requirements.runtime.lock ./
RUN /opt/headroom/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY headroom headroom
COPY shared shared
COPY services services
COPY deploy/migrations deploy/migrations
# What only installs is not needed to run.
RUN /opt/headroom/bin/pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
 && /opt/headroom/bin/pip uninstall --yes setuptools pip

FROM python:3.12-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin headroom
COPY --from=build /opt/headroom /opt/headroom
COPY --from=build /src /src
WORKDIR /src
ENV PATH=/opt/headroom/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HEADROOM_HTTP__HOST=0.0.0.0 HEADROOM_HTTP__PORT=8080
# Nothing is written to the file system: state is on the log and in PostgreSQL. Run it with a read-only root.
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=6 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
CMD ["headroom", "--help"]
