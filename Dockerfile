# Two stages: the toolchain stays in the first. docs/container.md says how to build and run this.
FROM docker.io/library/swift:6.3-bookworm AS build
WORKDIR /source
COPY .ci/install-dependencies .ci/
RUN .ci/install-dependencies build
# SwiftPM wants the folders of every target in Package.swift, those of the tests among them.
COPY Package.swift ./
COPY Sources Sources
COPY Tests Tests
RUN swift build --configuration release --static-swift-stdlib --product exemplar \
    && strip -o /exemplar .build/release/exemplar

FROM docker.io/library/debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        libjemalloc2 libmicrohttpd12 libnettle8 libspng0 libstdc++6 libturbojpeg0 libwebp7 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --no-create-home --shell /usr/sbin/nologin --uid 7350 exemplar
COPY --from=build /exemplar /usr/local/bin/exemplar
COPY models /models
# Inside the container every interface is the container's own; what is reachable from outside is decided where the
# port is published. EXEMPLAR_INSECURE=1 says that listening beyond loopback without a token is meant.
ENV EXEMPLAR_HOST=0.0.0.0 EXEMPLAR_INSECURE=1 EXEMPLAR_MODELS=/models
EXPOSE 7350
USER 7350:7350
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["exemplar", "health"]
# Exec form, so that the server is process 1 and SIGTERM reaches it: it answers what it has and exits with 0.
STOPSIGNAL SIGTERM
ENTRYPOINT ["exemplar"]
CMD ["serve"]
