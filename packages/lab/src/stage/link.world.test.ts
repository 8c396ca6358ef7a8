/** The agent's two links over real HTTPS: to a hub and to a node that are right, wrong, late or hostile. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { spkiOf } from '@felhom/agent';
import { serveInstead } from './hub-place.ts';
import { writeSecret } from './place.ts';
import { applyGuests, stageFor, untilConverged, untilFinding } from './stage.fixture.ts';
import type { Stage } from './stage.ts';

const hubAt = (stage: Stage, url: string, trust: Readonly<Record<string, string>>) => ({
  desired: { hub: { url, keyFile: stage.place.hubKey, trust } },
});

test('a hub that is known by its public key: desired state comes, reports arrive', async (t) => {
  const stage = await stageFor(t);
  const spkiSha256 = spkiOf(new X509Certificate(stage.hubCertificate));
  stage.writeConfig(hubAt(stage, stage.hub.url, { spkiSha256 }));
  await applyGuests(stage, []);
  stage.agent.start();
  await untilConverged(stage);
  await stage.until('the hub says ok', async () => /lab +ok/.test((await stage.felhom(['hosts'])).out));
  assert.match((await stage.felhom(['alerts'])).out, /^Nothing is the matter\./, 'the hub watches, and nothing is');
});

test('another public key than the pinned one: nothing is sent, and it is said why', async (t) => {
  const stage = await stageFor(t);
  stage.writeConfig(hubAt(stage, stage.hub.url, { spkiSha256: '0'.repeat(64) }));
  stage.agent.start();
  await untilFinding(stage, /pin/i);
  assert.match((await stage.felhom(['hosts'])).out, /lab +never-seen/);
});

test('a token that Proxmox refuses: one finding, and the node is left in peace', async (t) => {
  const stage = await stageFor(t);
  await applyGuests(stage, []);
  writeSecret(stage.place.token, `${stage.pve.tokenId}=00000000-0000-0000-0000-000000000000`);
  stage.agent.start();
  await untilFinding(stage, /401|token/i);
  const [asked, passAt] = [stage.server.requests(), (await stage.report())?.lastPassAt ?? 0];
  await stage.until('three more passes', async () => ((await stage.report())?.lastPassAt ?? 0) > passAt + 3_000);
  const since = stage.server.requests() - asked;
  assert.ok(since <= 1, `${since} requests with a refused token; the circuit is open`);
});

test('a hub whose certificate has expired is named as such', async (t) => {
  const stage = await stageFor(t);
  const day = 86_400_000;
  const expired = stage.authority.issue({
    notBefore: new Date(Date.now() - 3 * day),
    notAfter: new Date(Date.now() - day),
  });
  const late = await serveInstead(expired, (_, response) => response.end());
  t.after(() => late.close());
  stage.writeConfig(hubAt(stage, late.url, { caFile: stage.place.hubCa }));
  stage.agent.start();
  await untilFinding(stage, /expired/);
});

test('an endless answer is cut off', async (t) => {
  const stage = await stageFor(t);
  const megabyte = Buffer.alloc(1024 * 1024, 0x20);
  let sent = 0;
  let cut = false;
  const flood = await serveInstead(stage.authority.issue(), (request, response) => {
    request.resume();
    response.writeHead(200, { 'content-type': 'application/json' });
    const pour = (): void => {
      while (sent < 100 && !response.destroyed) {
        sent += 1;
        if (!response.write(megabyte)) {
          response.once('drain', pour);
          return;
        }
      }
      response.end();
    };
    response.on('close', () => (cut = true));
    pour();
  });
  t.after(() => flood.close());
  stage.writeConfig(hubAt(stage, flood.url, { caFile: stage.place.hubCa }));
  stage.agent.start();
  await untilFinding(stage, /large|long|bytes/i);
  await stage.until('the connection is gone', () => cut);
  assert.ok(sent < 50, `the hub got rid of ${sent} MiB before it was cut off`);
});
