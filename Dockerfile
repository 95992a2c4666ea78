# An image of one file: the static binary, which brings the roots of public
# certificate authorities with it. `make image` builds the binary, and from it
# this; nothing is pulled.
FROM scratch
COPY nitrox /nitrox

# A user without a name, a home or rights. It writes nothing: run it read-only.
USER 65532:65532
ENV NITROX_CONFIG=/etc/nitrox/nitrox.yaml

# SIGTERM ends the pass: the change in hand is finished, the NetScaler's
# configuration saved, the session ended. Allow a minute for it.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/nitrox"]

ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="Nitrox" \
      org.opencontainers.image.description="Keeps NetScaler service groups in step with containers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
