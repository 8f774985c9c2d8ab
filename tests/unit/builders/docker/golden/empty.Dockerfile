# head for linux/amd64, as `rayimage build --builder docker` builds it. By hand, in the directory that
# `rayimage dockerfile --role head --context DIR` writes:
#
#     DOCKER_BUILDKIT=1 docker build --network host --tag head .
#
# The base lies in an OCI layout: skopeo copy oci:base:2.55.1 docker-daemon:rayimage-base:1035a29c701e
FROM rayimage-base:1035a29c701e

WORKDIR /home/ray
LABEL io.ray.ray-version=2.55.1 \
      io.rayimage.lock=sha256:f850806b38e3080dda833279d804ac915400e0537a778b000187e05a0ebdd3a5 \
      io.rayimage.python-version=3.11.11 \
      io.rayimage.role=head \
      io.rayimage.version=VERSION \
      org.opencontainers.image.base.digest=sha256:1035a29c701eec86d8fe49ee03502621a00e6b2aa4241a64e3c424a05f8ae81d \
      org.opencontainers.image.base.name=base:2.55.1
