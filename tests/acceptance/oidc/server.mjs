// A certified authorization server (oidc-provider), as a vendor would run it: on loopback, with TLS, everything in memory.
// usage: node server.mjs PEM_FILE REDIRECT_URI    environment: ACCESS_TTL, the seconds for which access tokens live
// A refresh token is good for one use; a second use, or two at once, ends the whole grant.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { Provider } from 'oidc-provider';

const [pemFile, redirectUri] = process.argv.slice(2);
const lifetime = Number(process.env.ACCESS_TTL ?? 5);
const redirecting = { grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], redirect_uris: [redirectUri] };

const clients = [
  { client_id: 'web', client_secret: 'web-secret-canary', ...redirecting },
  // Characters that must be form-encoded within HTTP Basic (RFC 6749 section 2.3.1).
  { client_id: 'odd:id', client_secret: 'p+s%41 w:rd/=&', ...redirecting },
  { client_id: 'reader', client_secret: 'reader-secret-canary', ...redirecting },
  { client_id: 'elsewhere', client_secret: 'elsewhere-secret-canary', ...redirecting, redirect_uris: ['http://127.0.0.1:1/elsewhere'] },
  { client_id: 'machine', client_secret: 'machine-secret-canary', grant_types: ['client_credentials'], response_types: [], redirect_uris: [] },
];

function createProvider(issuer) {
  return new Provider(issuer, {
    clients,
    findAccount: async (_, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    scopes: ['api:read', 'api:write'],
    pkce: { required: () => true },
    rotateRefreshToken: () => true,
    issueRefreshToken: async (_, client) => client.grantTypeAllowed('refresh_token'),
    expiresWithSession: async () => false,
    ttl: { AccessToken: lifetime, ClientCredentials: lifetime, AuthorizationCode: 60, RefreshToken: 3600, Session: 3600, Grant: 3600, Interaction: 600 },
    cookies: { keys: ['for tests on loopback only'] },
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: async () => `${issuer}/api`,
        useGrantedResource: async () => true,
        getResourceServerInfo: async (_, resource, client) => ({
          scope: client.clientId === 'reader' ? 'api:read' : 'api:read api:write',
          audience: resource,
          accessTokenFormat: 'opaque',
          accessTokenTTL: lifetime,
        }),
      },
    },
  });
}

// What tests look at: every request at the token endpoint.
const requests = [];
const grants = new Map();

function note(ctx, error) {
  const { params, entities } = ctx.oidc;
  const account = (entities.Account ?? entities.RefreshToken ?? entities.AuthorizationCode)?.accountId ?? null;
  requests.push({ grant: params?.grant_type ?? null, client: entities.Client?.clientId ?? null, account, error });
  if (entities.Grant) grants.set(entities.Grant.jti, account);
}

async function livingGrants(provider, account) {
  const ids = [...grants].filter(([, owner]) => owner === account).map(([id]) => id);
  return (await Promise.all(ids.map((id) => provider.Grant.find(id)))).filter(Boolean);
}

// What a person does at a vendor: take back all that an account allowed.
async function withdraw(provider, account) {
  for (const grant of await livingGrants(provider, account)) await grant.destroy();
}

// Tokens and keys that a vendor gives out on a page of its own, by what they open.
const personalTokens = { 'personal-token-canary-4e7b': 'robin' };
const apiKeys = { 'api-key-canary-9c3d': 'acme-account' };

async function callApi(provider, ctx) {
  const token = /^Bearer (.+)$/.exec(ctx.get('authorization'))?.[1];
  const found = token && (await provider.AccessToken.find(token) ?? await provider.ClientCredentials.find(token));
  const alive = found && !found.isExpired && (!found.grantId || await provider.Grant.find(found.grantId));
  const account = alive ? found.accountId ?? found.clientId : personalTokens[token] ?? apiKeys[ctx.get('x-api-key')];
  ctx.status = account ? 200 : 401;
  ctx.body = account ? { sub: account } : { error: 'invalid_token' };
}

const pem = readFileSync(pemFile);
const server = createServer({ key: pem, cert: pem });
server.listen(0, '127.0.0.1', () => {
  const issuer = `https://127.0.0.1:${server.address().port}`;
  const provider = createProvider(issuer);
  provider.on('grant.success', (ctx) => note(ctx, null));
  provider.on('grant.error', (ctx, error) => note(ctx, error.error));
  provider.on('server_error', (_, error) => console.error(error));
  provider.use(async (ctx, next) => {
    if (['/api/me', '/api/v1/me'].includes(ctx.path)) return callApi(provider, ctx);
    if (ctx.path === '/test/requests') { ctx.body = requests; return; }
    if (ctx.path === '/test/grants') { ctx.body = (await livingGrants(provider, ctx.query.account)).map((grant) => grant.jti); return; }
    if (ctx.path === '/test/withdraw') { ctx.body = await withdraw(provider, ctx.query.account) ?? {}; return; }
    return next();
  });
  server.on('request', provider.callback());
  console.log(`ready ${issuer}`);
});
