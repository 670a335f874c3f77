# syntax=docker/dockerfile:1
# Two stages: wheels are built with pip in the first; the second has Python, the packages, and nothing to build with.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/cinecord
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY bot ./bot
COPY cogs ./cogs
COPY sandbox ./sandbox
RUN /opt/cinecord/bin/python -m pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt . \
    && /opt/cinecord/bin/python -m pip uninstall --yes --disable-pip-version-check pip setuptools

FROM python:3.11-slim
# The base image's own pip is of no use at run time.
RUN python -m pip uninstall --yes --disable-pip-version-check pip setuptools wheel 2>/dev/null; \
    useradd --system --uid 10001 --home-dir /data --create-home cinecord
COPY --from=build /opt/cinecord /opt/cinecord
ENV PATH=/opt/cinecord/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CINECORD_HTTP__LISTEN=0.0.0.0:8080 \
    CINECORD_DATABASE__URL=sqlite+aiosqlite:////data/cinecord.db \
    CINECORD_STORAGE__PATH=/data/files \
    CINECORD_LOG__FORMAT=json
WORKDIR /data
USER cinecord
VOLUME /data
EXPOSE 8080
# SIGTERM, Docker's own, lets jobs at work finish for 20 s; give `docker stop` more than that: --time 30.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import sys, urllib.request; sys.exit(urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=5).status != 200)"]
ENTRYPOINT ["cinecord"]
CMD ["run"]
