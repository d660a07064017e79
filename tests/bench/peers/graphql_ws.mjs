// graphql-ws on Node: a subscription as its documentation has one write it. Each `POST /publish` is an event, with its number as the body.
// usage: node graphql_ws.mjs PORT FOLDER, where FOLDER holds node_modules with graphql, graphql-ws and ws.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [, , port, folder] = process.argv;
const found = createRequire(pathToFileURL(`${folder}/`));
const { buildSchema } = found('graphql');
const { WebSocketServer } = found('ws');
const { useServer } = await import(pathToFileURL(found.resolve('graphql-ws/use/ws')));

const schema = buildSchema(`
  type Connection { id: ID! name: String! status: String! }
  type Folder { id: ID! name: String! }
  type Reason { code: String! message: String! }
  type ConnectionEvent {
    cursor: String! type: String! connectionId: ID! connectionName: String! previousStatus: String status: String! at: String!
    reason: Reason connection: Connection folder: Folder
  }
  type Query { hello: String! }
  type Subscription { connectionStatusChanged: ConnectionEvent! }
`);
const ID = '0190a5d2-7c1e-7b6e-9d6f-2f8f3a5c1d90';
const watching = new Set();

function eventOf(number) {
  const connectionName = `Event ${number}`;
  return {
    cursor: 'c'.repeat(35), type: 'RENAMED', connectionId: ID, connectionName, previousStatus: null, status: 'CONNECTED',
    at: '2026-01-05T12:00:00+00:00', reason: null,
    connection: async () => ({ id: ID, name: connectionName, status: 'CONNECTED' }),
    folder: async () => ({ id: ID, name: 'Watched' }),
  };
}

async function* changes() {
  const waiting = [];
  let wake = () => {};
  const publish = (number) => { waiting.push(number); wake(); };
  watching.add(publish);
  try {
    while (true) {
      while (waiting.length) yield { connectionStatusChanged: eventOf(waiting.shift()) };
      await new Promise((resolve) => { wake = resolve; });
    }
  } finally {
    watching.delete(publish);
  }
}

const server = createServer((request, response) => {
  let body = '';
  request.on('data', (piece) => { body += piece; });
  request.on('end', () => {
    for (const publish of watching) publish(body);
    response.setHeader('content-type', 'application/json');
    response.setHeader('content-length', 2);
    response.end('{}');
  });
});
const sockets = new WebSocketServer({ server, path: '/graphql', perMessageDeflate: false });
useServer({ schema, roots: { subscription: { connectionStatusChanged: changes } } }, sockets);
server.listen(Number(port), '127.0.0.1');
