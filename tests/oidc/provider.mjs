// An OpenID provider for the tests: node provider.mjs PORT. It makes new keys whenever it starts, and says
// them in one line of JSON when it listens. The login `eve~acme.example` has that address,
// verified unless the name begins with `unverified`.

import { generateKeyPairSync, randomBytes } from "node:crypto";
import { Provider } from "oidc-provider";

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;

function key(type, alg, options) {
  const { privateKey } = generateKeyPairSync(type, options);
  const kid = `${alg}-${randomBytes(6).toString("hex")}`;
  return { ...privateKey.export({ format: "jwk" }), kid, alg, use: "sig" };
}

const keys = [
  key("rsa", "RS256", { modulusLength: 2048 }),
  key("rsa", "PS256", { modulusLength: 2048 }),
  key("ec", "ES256", { namedCurve: "P-256" }),
  key("ed25519", "EdDSA", {}),
];

function claims(sub) {
  if (!sub.includes("~")) return {};
  const email = sub.replace("~", "@").replace(/^unverified-/, "");
  return { email, email_verified: !sub.startsWith("unverified"), name: sub.split("~")[0] };
}

const provider = new Provider(issuer, {
  jwks: { keys },
  cookies: { keys: [randomBytes(16).toString("hex")] },
  clients: [
    {
      client_id: "site",
      redirect_uris: ["http://127.0.0.1:1/back"],
      response_types: ["code"],
      grant_types: ["authorization_code"],
      token_endpoint_auth_method: "none",
    },
  ],
  pkce: { required: () => true },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, ...claims(sub) }) }),
  extraTokenClaims: (_, token) => claims(token.accountId),
  features: {
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        scope: "use",
        audience: resource,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
});

provider.listen(port, "127.0.0.1", () => console.log(JSON.stringify({ issuer, keys })));
