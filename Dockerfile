# The image of every Commonwatt process: `commonwatt serve`, `aggregate`, `simulate` and the others.
# Build it with `docker compose build`, or `docker build --tag commonwatt .`

ARG PYTHON=python:3.11-slim-bookworm

# GraphiQL: npm comes from a locked wheel, as on any machine without one.
FROM ${PYTHON} AS web
WORKDIR /source
COPY requirements-web.txt ./
COPY server/web server/web
RUN python server/web/build.py

# The environment: locked packages, then Commonwatt itself, not editable.
FROM ${PYTHON} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
RUN python -m venv /opt/commonwatt
COPY requirements.txt ./
RUN /opt/commonwatt/bin/python -m pip install --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY schema schema
COPY resolvers resolvers
COPY aggregator aggregator
COPY watch watch
COPY bus bus
COPY meters meters
COPY history history
COPY server server
COPY commonwatt commonwatt
COPY --from=web /source/server/static server/static
RUN /opt/commonwatt/bin/python -m pip install --no-deps --no-build-isolation .
# What only building needs stays behind; pip last, for it removes itself.
RUN /opt/commonwatt/bin/python -m pip uninstall --yes \
    editables hatchling pathspec pluggy tomlkit trove-classifiers setuptools pip

FROM ${PYTHON}
LABEL org.opencontainers.image.title="Commonwatt" \
      org.opencontainers.image.description="Live energy-community data for the wrist" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 commonwatt \
 && useradd --uid 10001 --gid 10001 --create-home --home-dir /var/lib/commonwatt --shell /usr/sbin/nologin commonwatt
# A new volume belongs to whom the folder belongs on which it is mounted first: those of docker-compose.yml here.
RUN install --directory --owner 10001 --group 10001 --mode 0700 \
    /srv/commonwatt/accounts /srv/commonwatt/aggregator /srv/commonwatt/server /srv/commonwatt/history \
    /srv/commonwatt/operator /srv/commonwatt/reloader /srv/commonwatt/gateways /srv/commonwatt/simulator /srv/commonwatt/nats
COPY --from=builder /opt/commonwatt /opt/commonwatt
ENV PATH=/opt/commonwatt/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    COMMONWATT_HOST=0.0.0.0 \
    COMMONWATT_PORT=8000 \
    COMMONWATT_DATA_DIR=/var/lib/commonwatt
USER 10001:10001
WORKDIR /var/lib/commonwatt
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen(f'http://127.0.0.1:{os.environ[\"COMMONWATT_PORT\"]}/health', timeout=4)"]
ENTRYPOINT ["commonwatt"]
CMD ["serve"]
