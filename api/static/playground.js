// The playground: GraphiQL with the explorer, signed in by the session's cookie, with examples that run as they are.

const ENDPOINT = "/graphql";

const VIEWER = `# Welcome. Press the button: this runs as it is.
# The book on the left is the documentation.
# The other tabs connect, watch and verify.
query WhoAndWhat {
  viewer {
    id
    name
    personalWorkspace { id name }
  }
  folders { nodes { id path permissions } }
  connectors(first: 5) {
    totalCount
    nodes {
      key
      name
      authenticationOptions { type label available }
    }
  }
}
`;

const CONNECT = `# Begins a consent. Then a link appears above:
# open it and allow, and the connection is there.
mutation Connect($input: ConnectInput!) {
  connect(input: $input) {
    ... on ConnectSuccess {
      connection { id name status account }
      authorization { id status url expiresAt }
    }
    ... on Error { message remedy }
    ... on InvalidInputError { fields { field message } }
    ... on ProviderError {
      reason { code fixableBy providerError }
    }
  }
}
`;

const WATCH = `# Tells every change of status until you stop it.
# Run it, and cause one: with the sandbox’s switches,
# or with a second window of the playground,
# because it stops when you go to another tab here.
# To go on later, give the last cursor as \`after\`.
subscription Watch {
  connectionStatusChanged {
    at
    type
    connectionName
    previousStatus
    status
    reason { code message remedy fixableBy }
    cursor
  }
}
`;

const CONNECTIONS = `# How your connections are, with their latest events.
query Connections {
  health { total byStatus { status count } }
  connections {
    totalCount
    nodes {
      id
      name
      connector { name }
      account
      status
      statusReason { message remedy }
      expiresAt
      nextRefreshAt
      lastRefreshedAt
      events(first: 3) { nodes { at type status } }
    }
  }
}
`;

const VERIFY = `# Asks the provider, now, whether it still works.
# Give the id below: the tab Connections shows it.
mutation Verify($connectionId: ID!) {
  verifyConnection(input: { connectionId: $connectionId }) {
    ... on VerifyConnectionSuccess {
      latencyMs
      connection { name status statusReason { message remedy } lastVerifiedAt }
    }
    ... on Error { message remedy }
  }
}
`;

// What the examples need to know, so that they run without being filled in first.
async function findIds() {
  const query = "{ viewer { id personalWorkspace { id } } connections(first: 1) { nodes { id } } }";
  const response = await fetch(ENDPOINT, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query }),
  });
  const { data } = await response.json();
  return {
    viewer: data?.viewer?.id ?? "",
    folder: data?.viewer?.personalWorkspace?.id ?? "the id of a folder",
    connection: data?.connections?.nodes?.[0]?.id ?? "the id of a connection",
  };
}

function examples(ids) {
  const connectorKey = document.body.dataset.sandbox === "yes" ? "sandbox" : "github";
  const input = { folderId: ids.folder, connectorKey, authenticationType: "OAUTH2_AUTHORIZATION_CODE" };
  return [
    { query: VIEWER },
    { query: CONNECT, variables: JSON.stringify({ input }, null, 2) },
    { query: WATCH },
    { query: CONNECTIONS },
    { query: VERIFY, variables: JSON.stringify({ connectionId: ids.connection }, null, 2) },
  ];
}

// What GraphiQL remembers belongs to one person of one installation: nobody meets tabs with the ids of another.
function storageFor(viewer) {
  const prefix = `patchbay:${viewer}:`;
  const ours = () => Object.keys(localStorage).filter((key) => key.startsWith(prefix));
  return {
    getItem: (key) => localStorage.getItem(prefix + key),
    setItem: (key, value) => localStorage.setItem(prefix + key, value),
    removeItem: (key) => localStorage.removeItem(prefix + key),
    clear: () => ours().forEach((key) => localStorage.removeItem(key)),
    get length() {
      return ours().length;
    },
  };
}

// A consent that a mutation began, wherever in its answer: its page is one click away.
function findConsent(data) {
  for (const result of Object.values(data ?? {})) {
    const { url, status = "PENDING" } = result?.authorization ?? {};
    if (url && status === "PENDING") return url;
  }
  return null;
}

function offerConsent(url) {
  if (!/^https?:/.test(url)) return;
  const banner = document.getElementById("consent");
  banner.querySelector("a").href = url;
  banner.hidden = false;
}

function createFetcher() {
  const address = new URL(ENDPOINT, location.href);
  const fetcher = GraphiQL.createFetcher({
    url: address.href,
    // One answer to one request, never in parts: so an answer can be looked at below.
    enableIncrementalDelivery: false,
    subscriptionUrl: address.href.replace(/^http/, "ws"),
  });
  return async (parameters, options) => {
    const result = await fetcher(parameters, options);
    const consent = findConsent(result?.data);
    if (consent) offerConsent(consent);
    return result;
  };
}

function wireBanner() {
  const banner = document.getElementById("consent");
  const hide = () => {
    banner.hidden = true;
  };
  banner.querySelector("button").addEventListener("click", hide);
  // Opened by a script, so that the page may close itself once the consent is done.
  banner.querySelector("a").addEventListener("click", (event) => {
    event.preventDefault();
    window.open(event.currentTarget.href);
    hide();
  });
}

async function start() {
  wireBanner();
  const ids = await findIds();
  const playground = React.createElement(GraphiQL, {
    fetcher: createFetcher(),
    defaultTabs: examples(ids),
    defaultQuery: VIEWER,
    defaultEditorToolsVisibility: "variables",
    plugins: [GraphiQLPluginExplorer.explorerPlugin()],
    storage: storageFor(ids.viewer),
    inputValueDeprecation: true,
  });
  ReactDOM.createRoot(document.getElementById("graphiql")).render(playground);
}

start().catch((error) => {
  const message = document.querySelector("#graphiql .loading");
  if (message) message.textContent = `The playground could not start: ${error.message}`;
});
