# head for linux/amd64, as `rayimage build --builder docker` builds it. By hand, in the directory that
# `rayimage dockerfile --role head --classic --context DIR` writes:
#
#     DOCKER_BUILDKIT=0 docker build --network host --tag head .
#
# The base lies in an OCI layout: skopeo copy oci:base:2.55.1 docker-daemon:rayimage-base:1035a29c701e
FROM rayimage-base:1035a29c701e

# The base's copies of what the lock replaces.
RUN PYTHONDONTWRITEBYTECODE=1 /home/ray/anaconda3/bin/python -m pip uninstall --yes old

# Exactly the lock: nothing is resolved, and each wheel must have its hash.
COPY packages/ /tmp/rayimage/packages/
RUN PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 /home/ray/anaconda3/bin/python -m pip install \
        --no-deps --require-hashes --only-binary :all: --no-compile --no-warn-script-location \
        --no-index --find-links /tmp/rayimage/packages --requirement /tmp/rayimage/packages/requirements.txt

# The project's own wheel.
COPY project/ /tmp/rayimage/project/
RUN PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 /home/ray/anaconda3/bin/python -m pip install \
        --no-deps --require-hashes --only-binary :all: --no-compile --no-warn-script-location \
        --no-index --find-links /tmp/rayimage/project --requirement /tmp/rayimage/project/requirements.txt

USER 0
RUN rm -rf /tmp/rayimage
USER 1000

WORKDIR /home/ray/app
LABEL io.ray.ray-version=2.55.1 \
      io.rayimage.lock=sha256:d2c4a09f618ee0dd746f73d9abbf452cae7ac468bd8c4cb677ebd49ba2657004 \
      io.rayimage.python-version=3.11.11 \
      io.rayimage.role=head \
      io.rayimage.version=VERSION \
      org.opencontainers.image.base.digest=sha256:1035a29c701eec86d8fe49ee03502621a00e6b2aa4241a64e3c424a05f8ae81d \
      org.opencontainers.image.base.name=base:2.55.1
