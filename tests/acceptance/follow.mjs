// Follows the stream of status changes with a JavaScript client, and prints each event as a line of JSON.
// usage: node follow.mjs graphql-ws|graphql-sse URL TOKEN [AFTER]
import * as sse from 'graphql-sse';
import * as ws from 'graphql-ws';
import WebSocket from 'ws';

const [protocol, url, token, after = null] = process.argv.slice(2);
const query = `subscription Follow($after: String) {
  connectionStatusChanged(after: $after) { cursor type connectionId previousStatus status reason { code fixableBy } }
}`;

const clients = {
  'graphql-ws': () => ws.createClient({
    url: url.replace(/^http/, 'ws'),
    // Node has none of its own before its version 22.
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${token}` },
    retryAttempts: 0,
  }),
  'graphql-sse': () => sse.createClient({ url, headers: { authorization: `Bearer ${token}` }, retryAttempts: 0 }),
};

clients[protocol]().subscribe(
  { query, variables: { after } },
  {
    next: ({ data, errors }) => console.log(JSON.stringify(data?.connectionStatusChanged ?? { errors })),
    error: (error) => {
      console.error('ended with', error?.code ?? error);
      process.exitCode = 1;
    },
    complete: () => console.error('ended'),
  },
);
