// A real identity provider (certified for OpenID Connect), in this process, with the people of a table.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider from 'oidc-provider';

export interface Identity {
  issuer: string;
  client: string;
  secret: string;
  stop: () => Promise<void>;
}

const PEOPLE: Record<string, object> = {
  anna: { email: 'anna@example.com', email_verified: true, groups: ['ml', 'staff'] },
  noor: { email: 'noor@example.com', email_verified: true, groups: ['nlp'] },
  eve: { email: 'anna@example.com', email_verified: false, groups: [] },
};

/** It sends browsers back to `callback`. */
export async function startProvider(callback: string): Promise<Identity> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const [client, secret] = ['assay', 'a secret of the client'];
  const provider = new Provider(issuer, {
    clients: [{ client_id: client, client_secret: secret, redirect_uris: [callback] }],
    claims: { email: ['email', 'email_verified'], groups: ['groups'], profile: ['name'] },
    pkce: { required: () => true, methods: ['S256'] },
    findAccount: (_, id) =>
      Promise.resolve({ accountId: id, claims: () => Promise.resolve({ sub: id, ...PEOPLE[id] }) }),
    // its own pages ask for a name and take any password
    features: { devInteractions: { enabled: true } },
    cookies: { keys: ['a key of the test'] },
  });
  const answer = provider.callback();
  server.on('request', (request, response) => void answer(request, response));
  const stop = () => new Promise<void>((done) => server.close(() => done()).closeAllConnections());
  return { issuer, client, secret, stop };
}
