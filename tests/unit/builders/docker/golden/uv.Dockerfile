# head for linux/amd64, as `rayimage build --builder docker` builds it. By hand, in the directory that
# `rayimage dockerfile --role head --context DIR` writes:
#
#     DOCKER_BUILDKIT=1 docker build --network host --tag head .
#
# A package index other than the default one goes in as a secret: --secret id=index,src=FILE with lines like
# `export PIP_INDEX_URL=https://user:password@packages.example.com/simple`. So do certificates that are to be trusted:
# --secret id=certificates,src=FILE, and `export PIP_CERT=/dev/certificates` as a line of the other one.
FROM docker.io/rayproject/ray:2.55.1-py311@sha256:3a410f8083cc8528d51d1fdd4e078e1aac43b6f8c86b389ffd2be9f833a2f905

# The base's copies of what the lock replaces.
RUN XDG_DATA_HOME=/dev/shm UV_NO_CACHE=1 /home/ray/anaconda3/bin/uv pip uninstall --python /home/ray/anaconda3/bin/python old && \
    rm -f /home/ray/anaconda3/.lock

# Exactly the lock: nothing is resolved, and each wheel must have its hash.
RUN --mount=type=bind,source=packages,target=/dev/packages \
    --mount=type=cache,id=rayimage-uv-1000,target=/dev/cache,uid=1000,gid=100 \
    --mount=type=secret,id=index,target=/dev/index,uid=1000 \
    --mount=type=secret,id=certificates,target=/dev/certificates,uid=1000 \
    if [ -f /dev/index ]; then . /dev/index; fi; \
    XDG_DATA_HOME=/dev/shm UV_CACHE_DIR=/dev/cache \
    /home/ray/anaconda3/bin/uv pip install --python /home/ray/anaconda3/bin/python \
        --no-deps --require-hashes --no-build --link-mode copy --index-strategy unsafe-best-match \
        --find-links /dev/packages --requirement /dev/packages/requirements.txt && \
    rm -f /home/ray/anaconda3/.lock

# The code, by the rules of .gitignore, .dockerignore and `exclude`.
COPY --chown=1000:100 code/ /home/ray/app/

WORKDIR /home/ray/app
LABEL io.ray.ray-version=2.55.1 \
      io.rayimage.lock=sha256:ef34b6ec4a55031d4097bd2faa545af784f773524494fa0f1a4ead7b50f2bdd0 \
      io.rayimage.python-version=3.11.11 \
      io.rayimage.role=head \
      io.rayimage.version=VERSION \
      org.opencontainers.image.base.digest=sha256:3a410f8083cc8528d51d1fdd4e078e1aac43b6f8c86b389ffd2be9f833a2f905 \
      org.opencontainers.image.base.name=base:2.55.1
