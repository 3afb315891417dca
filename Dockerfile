# A server of embeddings and the other tasks; docs/serving.md tells how to run it.
FROM python:3.12-slim AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-compile "$(ls /wheels/*.whl)[serve]" \
    && useradd --system --no-create-home erniem
USER erniem
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# glibc gives freed memory back, so that it does not grow with the variety of batches.
ENV MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=100000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", \
    "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["erniem", "serve", "--host", "0.0.0.0", "--port", "8000"]
