# Airflow with this package, for every service of docker-compose.yaml: docker build -t airflow-wacontacts .
ARG AIRFLOW_VERSION=3.3.2
ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim-bookworm AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY airflow_provider_wacontacts airflow_provider_wacontacts
COPY dags dags
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# The slim image has Airflow and none of its providers: those that are wanted come in the versions that were tested.
FROM apache/airflow:slim-${AIRFLOW_VERSION}-python${PYTHON_VERSION}
ARG AIRFLOW_VERSION
COPY constraints.txt /opt/wacontacts/constraints.txt
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir --constraint /opt/wacontacts/constraints.txt "apache-airflow==${AIRFLOW_VERSION}" \
    apache-airflow-providers-celery psycopg2-binary "$(echo /wheels/*.whl)[fast,parquet,postgres,receiver,sandbox]"
COPY docker/init.py /opt/wacontacts/init.py
# Volumes are made with the owner and the rights of what they are mounted over.
RUN install -d -m 775 /opt/airflow/files /opt/airflow/login
