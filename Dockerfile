# The service: API, worker or both, with a Postgres elsewhere (DATABASE_URL). `npm run packaging:check` looks after
# this file.

FROM node:22.23.3-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# Scripts are those of test servers; the compiler needs none. `prepare` would build before there is anything to build.
RUN npm ci --ignore-scripts --omit=optional --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY codegen ./codegen
COPY src ./src
RUN node node_modules/typescript/bin/tsc -p tsconfig.build.json \
  && npm prune --ignore-scripts --omit=dev --omit=optional --no-audit --no-fund

FROM node:22.23.3-bookworm-slim
WORKDIR /app
COPY LICENSE package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY lexicons ./lexicons
COPY bin ./bin
# Repos are spooled here while they are read; the service's key too, unless SERVICE_KEY is set.
RUN mkdir -p /var/lib/aquifer && chown node:node /var/lib/aquifer
VOLUME /var/lib/aquifer
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 METRICS_PORT=9464 DATA_DIR=/var/lib/aquifer
USER node
EXPOSE 3000 9464
# A worker has no other port than the one for metrics, where the health check answers too.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
  CMD node -e "fetch('http://127.0.0.1:' + (Number(process.env.METRICS_PORT) || process.env.PORT) + '/xrpc/_health').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"
ENTRYPOINT ["node", "--max-semi-space-size=32", "--heap-growing-percent=100", "bin/aquifer.js"]
CMD ["serve"]
