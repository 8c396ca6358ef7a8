import assert from 'node:assert/strict';
import { X509Certificate, createHash } from 'node:crypto';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { httpsConnect } from '@felhom/controller';
import type { HostTrust, TransportAnswer } from '@felhom/controller';
import { createAuthority } from '../stage/certificates.ts';
import type { Authority } from '../stage/certificates.ts';

const day = 86_400_000;
const never = new AbortController().signal;
const pinOf = (authority: Authority): string =>
  createHash('sha256')
    .update(new X509Certificate(authority.ca).publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');

test('a guest knows its host by the CA that the claim names, and sends nothing to anybody else', async (t) => {
  const [ours, twin] = [createAuthority('felhom host', Date.now()), createAuthority('felhom host', Date.now())];
  const other = createAuthority('another host', Date.now());
  const leaf = ours.issue();
  const expired = ours.issue({ notBefore: new Date(Date.now() - 2 * day), notAfter: new Date(Date.now() - day) });
  const foreign = other.issue();
  const twins = twin.issue();
  const chains = {
    whole: { cert: `${leaf.cert}${ours.ca}`, key: leaf.key },
    'without its CA': { cert: leaf.cert, key: leaf.key },
    expired: { cert: `${expired.cert}${ours.ca}`, key: expired.key },
    foreign: { cert: `${foreign.cert}${other.ca}`, key: foreign.key },
    'of a namesake, with our CA behind it': { cert: `${twins.cert}${ours.ca}`, key: twins.key },
  } as const;
  const trusts = {
    pin: { is: 'pin', spkiSha256: pinOf(ours) },
    ca: { is: 'ca', pems: [ours.ca] },
    'two CAs': { is: 'ca', pems: [other.ca, ours.ca] },
    'first use': { is: 'first-use' },
  } as const satisfies Record<string, HostTrust>;
  const rows: readonly [keyof typeof chains, keyof typeof trusts, 'answered' | 'failed'][] = [
    ['whole', 'pin', 'answered'],
    ['whole', 'ca', 'answered'],
    ['whole', 'two CAs', 'answered'],
    ['whole', 'first use', 'answered'],
    ['without its CA', 'pin', 'failed'],
    ['without its CA', 'ca', 'answered'],
    ['expired', 'pin', 'failed'],
    ['expired', 'ca', 'failed'],
    ['foreign', 'pin', 'failed'],
    ['foreign', 'ca', 'failed'],
    ['foreign', 'two CAs', 'answered'],
    ['foreign', 'first use', 'answered'],
    ['of a namesake, with our CA behind it', 'pin', 'failed'],
    ['of a namesake, with our CA behind it', 'ca', 'failed'],
    ['of a namesake, with our CA behind it', 'first use', 'failed'],
  ];
  for (const [chain, trust, want] of rows) {
    const heard: string[] = [];
    const server = createServer(chains[chain], (request, response) => {
      heard.push(request.headers.authorization ?? '');
      response.end('{}');
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    t.after(() => server.close());
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const answer: TransportAnswer = await httpsConnect({ localAddress: '127.9.0.7' })(address, trusts[trust]).send(
      {
        method: 'GET',
        path: '/v1/storage',
        headers: { authorization: 'Bearer secret' },
        body: undefined,
        timeoutMs: 5000,
      },
      never,
    );
    assert.equal(answer.is, want, `${chain} by ${trust}: ${answer.is === 'failed' ? answer.text : ''}`);
    assert.deepEqual(heard, want === 'answered' ? ['Bearer secret'] : [], `${chain} by ${trust}`);
    server.closeAllConnections();
    server.close();
  }
});

test('nobody there, or nobody who answers, is said and not thrown', async (t) => {
  const authority = createAuthority('felhom host', Date.now());
  const { cert, key } = authority.issue();
  const server = createServer({ cert: `${cert}${authority.ca}`, key }, () => undefined);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const request = { method: 'GET', path: '/', headers: {}, body: undefined, timeoutMs: 100 } as const;
  const ca: HostTrust = { is: 'ca', pems: [authority.ca] };
  assert.equal((await httpsConnect()(address, ca).send(request, never)).is, 'failed');
  assert.equal((await httpsConnect()('127.0.0.1:1', ca).send(request, never)).is, 'failed');
  assert.equal((await httpsConnect()('127.0.0.1:1', { is: 'first-use' }).send(request, never)).is, 'failed');
  const aborted = AbortSignal.abort();
  assert.equal((await httpsConnect()(address, { is: 'first-use' }).send(request, aborted)).is, 'failed');
});
