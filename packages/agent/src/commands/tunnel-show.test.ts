import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { showTunnel } from './tunnel-show.ts';

const never = new AbortController().signal;

async function host(t: TestContext, runs: boolean) {
  const at = mkdtempSync(join(tmpdir(), 'felhom-tunnel-show-'));
  t.after(() => rmSync(at, { recursive: true }));
  const answers: Readonly<Record<string, object>> = {
    '/ready': { readyConnections: 4 },
    '/config': { config: { ingress: [{ hostname: 'x.example.org', service: 'ssh://192.168.1.50:22' }] } },
  };
  const server = createServer((request, response) => response.end(JSON.stringify(answers[request.url ?? ''])));
  await new Promise<void>((listens) => server.listen(0, '127.0.0.1', listens));
  const { port } = server.address() as AddressInfo;
  if (runs) t.after(() => server.close());
  else await new Promise((closed) => server.close(closed));
  const config = {
    v: 1,
    host: 'box',
    stateDirectory: join(at, 'state'),
    policyFile: join(at, 'policy.yaml'),
    proxmox: { url: 'https://127.0.0.1:1', tokenFile: join(at, 'token'), trust: { spkiSha256: 'a'.repeat(64) } },
    desired: { file: join(at, 'desired.yaml') },
    tunnel: { metricsPort: port, ingressFile: join(at, 'tunnel.yml'), rulesFile: join(at, 'rules.json') },
  };
  writeFileSync(join(at, 'agent.yaml'), JSON.stringify(config));
  return { at, show: () => showTunnel(join(at, 'agent.yaml'), never) };
}

test('signed, declared, and in force now', async (t) => {
  const { at, show } = await host(t, true);
  const ingress = [
    { hostname: 'photos.example.org', service: 'http://192.168.1.50:80' },
    { service: 'http_status:404' },
  ];
  const declaration = { tunnel: 'dfed0ead-79e1-41cf-82b8-88ca8148a577', ingress };
  writeFileSync(join(at, 'rules.json'), JSON.stringify({ v: 1, declaration }));
  writeFileSync(join(at, 'tunnel.yml'), JSON.stringify({ tunnel: declaration.tunnel, ingress }));
  const { text } = await show();
  const rules = '  photos.example.org → http://192.168.1.50:80\n  * → http_status:404\n';
  assert.equal(
    text,
    `signed by operators\n${rules}declared in ${join(at, 'tunnel.yml')}\n${rules}` +
      'in force now\n  x.example.org → ssh://192.168.1.50:22\nconnections to the edge: 4\n',
  );
});

test('a host without a tunnel, and a configuration that does not read', async (t) => {
  const { at, show } = await host(t, false);
  const shown = await show();
  assert.match(shown.text, /nothing: this host has no tunnel[^]*cannot read \/config of cloudflared[^]*not told/);
  writeFileSync(join(at, 'agent.yaml'), '{}');
  assert.equal((await show()).is, 'bad');
});
