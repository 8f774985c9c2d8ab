# head for linux/amd64, as `rayimage build --builder docker` builds it. By hand, in the directory that
# `rayimage dockerfile --role head --wheelhouse --context DIR` writes:
#
#     DOCKER_BUILDKIT=1 docker build --network host --tag head .
#
# The base lies in an OCI layout: skopeo copy oci:base:2.55.1 docker-daemon:rayimage-base:1035a29c701e
FROM rayimage-base:1035a29c701e

# The base's copies of what the lock replaces.
RUN PYTHONDONTWRITEBYTECODE=1 /home/ray/anaconda3/bin/python -m pip uninstall --yes old

# Exactly the lock: nothing is resolved, and each wheel must have its hash.
RUN --mount=type=bind,source=packages,target=/dev/packages \
    --mount=type=cache,id=rayimage-pip-1000,target=/dev/cache,uid=1000,gid=100 \
    PYTHONDONTWRITEBYTECODE=1 PIP_CACHE_DIR=/dev/cache /home/ray/anaconda3/bin/python -m pip install \
        --no-deps --require-hashes --only-binary :all: --no-compile --no-warn-script-location \
        --no-index --find-links /dev/packages --requirement /dev/packages/requirements.txt

# The code, by the rules of .gitignore, .dockerignore and `exclude`.
COPY --chown=1000:100 code/ /home/ray/app/

WORKDIR /home/ray/app
LABEL io.ray.ray-version=2.55.1 \
      io.rayimage.lock=sha256:d2c4a09f618ee0dd746f73d9abbf452cae7ac468bd8c4cb677ebd49ba2657004 \
      io.rayimage.python-version=3.11.11 \
      io.rayimage.role=head \
      io.rayimage.version=VERSION \
      org.opencontainers.image.base.digest=sha256:1035a29c701eec86d8fe49ee03502621a00e6b2aa4241a64e3c424a05f8ae81d \
      org.opencontainers.image.base.name=base:2.55.1
