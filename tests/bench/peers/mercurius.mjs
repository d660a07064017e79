// Mercurius with graphql-jit: a schema and resolvers by hand, one prepared statement an answer. It checks nothing.
//
// usage: node mercurius.mjs PORT DATABASE_URL
import Fastify from "fastify";
import mercurius from "mercurius";
import pg from "pg";

const [port, connectionString] = process.argv.slice(2);
const CONNECTORS = { measured: "Measured" };

const schema = `
  scalar DateTime

  type Connector {
    key: ID!
    name: String!
  }

  type Folder {
    id: ID!
    name: String!
  }

  type Connection {
    id: ID!
    name: String!
    status: String!
    statusChangedAt: DateTime!
    isDefault: Boolean!
    account: String
    scopes: [String!]!
    expiresAt: DateTime
    nextRefreshAt: DateTime
    lastRefreshedAt: DateTime
    createdAt: DateTime!
    updatedAt: DateTime!
    connector: Connector!
    folder: Folder!
  }

  type PageInfo {
    hasNextPage: Boolean!
  }

  type ConnectionPage {
    nodes: [Connection!]!
    pageInfo: PageInfo!
  }

  type Query {
    connections(folder: ID!, first: Int!): ConnectionPage!
    connection(id: ID!): Connection
  }
`;

const SELECT = `
  SELECT connection.id, connection.name, connection.status, connection.status_changed_at AS "statusChangedAt",
    connection.is_default AS "isDefault", connection.account, connection.scopes, connection.expires_at AS "expiresAt",
    CASE WHEN connection.renewable THEN connection.due_at END AS "nextRefreshAt", connection.last_refreshed_at AS "lastRefreshedAt",
    connection.created_at AS "createdAt", connection.updated_at AS "updatedAt", connection.connector_key AS "connectorKey",
    folder.id AS "folderId", folder.name AS "folderName"
  FROM connection JOIN folder ON folder.id = connection.folder_id
`;
const LIST = `${SELECT} WHERE connection.folder_id = $1 ORDER BY connection.name_key, connection.id LIMIT $2`;
const ONE = `${SELECT} WHERE connection.id = $1`;

// As text: a Date would lose the microseconds, and cost more.
pg.types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, (text) => `${text.replace(" ", "T")}:00`);
const pool = new pg.Pool({ connectionString, max: 20 });

function node(row) {
  row.connector = { key: row.connectorKey, name: CONNECTORS[row.connectorKey] };
  row.folder = { id: row.folderId, name: row.folderName };
  return row;
}

const resolvers = {
  Query: {
    async connections(_, { folder, first }) {
      const { rows } = await pool.query({ name: "list", text: LIST, values: [folder, first + 1] });
      return { nodes: rows.slice(0, first).map(node), pageInfo: { hasNextPage: rows.length > first } };
    },
    async connection(_, { id }) {
      const { rows } = await pool.query({ name: "one", text: ONE, values: [id] });
      return rows.length ? node(rows[0]) : null;
    },
  },
};

const app = Fastify();
app.register(mercurius, { schema, resolvers, jit: 1 });
await app.listen({ port: Number(port), host: "127.0.0.1" });
