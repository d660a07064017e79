// An organization's identity provider (oidc-provider, certified): on loopback, with TLS, everything in memory.
// usage: node identity.mjs PEM_FILE PATCHBAY_URL
// Whoever signs in is who they say they are; what is known of them is set by the test.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { Provider } from 'oidc-provider';

const [pemFile, patchbay] = process.argv.slice(2);
const people = new Map();

const coded = { grant_types: ['authorization_code'], response_types: ['code'] };
const clients = [
  {
    client_id: 'patchbay',
    client_secret: 'identity-secret-canary',
    ...coded,
    redirect_uris: [`${patchbay}/sign-in/callback`],
    post_logout_redirect_uris: [`${patchbay}/sign-in`],
  },
  // A program on somebody's machine, which asks for tokens for Patchbay's API, or for another.
  { client_id: 'program', token_endpoint_auth_method: 'none', application_type: 'native', ...coded, redirect_uris: ['http://127.0.0.1/program'] },
];

function createProvider(issuer) {
  return new Provider(issuer, {
    clients,
    findAccount: async (_, id) => ({ accountId: id, claims: async () => ({ sub: id, ...people.get(id) }) }),
    claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'], groups: ['groups'] },
    pkce: { required: () => true },
    cookies: { keys: ['for tests on loopback only'] },
    extraTokenClaims: async (_, token) => ({ groups: people.get(token.accountId)?.groups }),
    features: {
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: async () => undefined,
        useGrantedResource: async () => true,
        getResourceServerInfo: async (_, resource) => ({
          scope: 'api',
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 300,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
}

const pem = readFileSync(pemFile);
const server = createServer({ key: pem, cert: pem });
server.listen(0, '127.0.0.1', () => {
  const issuer = `https://127.0.0.1:${server.address().port}`;
  const provider = createProvider(issuer);
  provider.on('server_error', (_, error) => console.error(error));
  provider.use(async (ctx, next) => {
    if (ctx.path !== '/test/people') return next();
    people.set(ctx.query.id, JSON.parse(ctx.query.claims));
    ctx.body = {};
  });
  server.on('request', provider.callback());
  console.log(`ready ${issuer}`);
});
