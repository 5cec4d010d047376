// A certified OpenID provider on a loopback port. Its only argument is a folder with config.json; people.json and
// tamper.json in it are read anew at each request, so that a test can change them.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Provider } from 'oidc-provider';
import * as jose from 'jose';

const folder = process.argv[2];
const read = (name) => JSON.parse(readFileSync(join(folder, name), 'utf8'));
const config = read('config.json');
const issuer = `http://127.0.0.1:${config.port}`;

const provider = new Provider(issuer, {
  clients: config.clients,
  jwks: { keys: config.keys },
  cookies: { keys: ['only for tests'] },
  claims: {
    openid: ['sub', ...(config.claims_in_id_token ? ['preferred_username', 'groups', 'email'] : [])],
    profile: ['preferred_username', 'given_name', 'family_name', 'groups'],
    email: ['email'],
  },
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  findAccount: async (_ctx, id) => {
    const person = read('people.json')[id];
    return person && { accountId: id, claims: async () => ({ ...person, sub: id }) };
  },
});

// What a broken or hostile provider would do: sign something else with the right key, or with none.
provider.use(async (ctx, next) => {
  await next();
  if (ctx.path !== '/token' || !ctx.body?.id_token || !existsSync(join(folder, 'tamper.json'))) return;
  const wanted = read('tamper.json');
  const claims = { ...jose.decodeJwt(ctx.body.id_token), ...wanted.claims };
  for (const name of wanted.without ?? []) delete claims[name];
  ctx.body = { ...ctx.body, id_token: await signed(claims, wanted) };
  if (wanted.drop) delete ctx.body.id_token;
});

async function signed(claims, wanted) {
  if (wanted.alg === 'none') return new jose.UnsecuredJWT(claims).encode();
  if (wanted.alg === 'HS256') {
    return new jose.SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(config.clients[0].client_secret));
  }
  const jwk = wanted.key ?? config.keys[0];
  return new jose.SignJWT(claims).setProtectedHeader({ alg: jwk.alg, kid: jwk.kid }).sign(await jose.importJWK(jwk, jwk.alg));
}

provider.listen(config.port, '127.0.0.1', () => console.log('ready'));
