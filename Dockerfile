# An image of the static binary, which includes the root certificates of the public
# authorities, and of the licences of what is in it. `make image` builds these and
# then this image, and pulls nothing.
FROM scratch
COPY nitrox LICENSE LICENSES-of-dependencies.txt /

# A user without a name, home or rights. It writes nothing: run it read-only.
USER 65532:65532
ENV NITROX_CONFIG=/etc/nitrox/nitrox.yaml

# SIGTERM ends the pass: it finishes the change in hand, saves the NetScaler's
# configuration and logs out. Allow a minute for that.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/nitrox"]

ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="Nitrox" \
      org.opencontainers.image.description="Keeps NetScaler service groups in step with containers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
