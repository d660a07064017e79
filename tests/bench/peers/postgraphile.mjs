// PostGraphile 5 as it comes, over the views of postgraphile.sql. It checks nothing.
//
// usage: node postgraphile.mjs PORT DATABASE_URL
import { createServer } from "node:http";

import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";

const [port, connectionString] = process.argv.slice(2);

const api = postgraphile({
  extends: [PostGraphileAmberPreset],
  pgServices: [makePgService({ connectionString, schemas: ["measured"], poolConfig: { max: 20 } })],
  grafserv: { graphqlPath: "/graphql", graphiql: false },
});
const server = createServer();
await api.createServ(grafserv).addTo(server);
server.listen(Number(port), "127.0.0.1");
