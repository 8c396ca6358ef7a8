/** People, root and a real agent process: what is signed with real keys is carried out, and nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findSshKeygen } from './openssh.ts';
import { applyGuests, stageFor, untilConverged } from './stage.fixture.ts';
import { labGuest } from '../world/desired.ts';

const tool = findSshKeygen();
const skip = tool.is === 'missing' ? tool.text : false;

test('what one of three signs alone is done, and what takes two is not', { skip, timeout: 120_000 }, async (t) => {
  const stage = await stageFor(t, { signed: true });
  await applyGuests(stage, [labGuest('web')]);
  stage.agent.start();
  await untilConverged(stage);
  const identity = await stage.agentCommand(['identity', '--json']);
  const { fingerprint } = JSON.parse(identity.out) as { readonly fingerprint: string };
  for (const person of ['alice', 'bob'] as const) {
    const pinned = await stage.felhomAs(person, ['hosts', 'trust', 'lab', fingerprint]);
    assert.equal(pinned.code, 0, pinned.err);
  }
  const held = await stage.felhomAs('alice', ['job', 'hold', 'lab', '--yes']);
  assert.equal(held.code, 0, held.err + held.out);
  assert.equal((await stage.report())?.hold, true);
  const change = ['job', 'trust-renew', 'lab', '--yes', '--no-wait'];
  assert.equal((await stage.felhomAs('bob', change)).code, 7);
  await stage.until('the change waits for one more', async () => {
    const jobs = (await stage.report())?.jobs ?? [];
    return jobs.some(({ kind, state, code }) => `${kind} ${state} ${code}` === 'trust-change waiting job.more-people');
  });
  const { jobId = '' } = (await stage.report())?.jobs.find(({ kind }) => kind === 'trust-change') ?? {};
  const signed = await stage.felhomAs('alice', ['job', 'cosign', 'lab', jobId, '--yes', '--no-wait']);
  assert.notEqual(signed.code, 1, signed.err + signed.out);
  await stage.until('the document is the second', async () => {
    const trust = (await stage.report())?.trust;
    return trust?.is === 'held' && trust.document.version === 2;
  });
  const verified = await stage.felhomAs('alice', ['audit', 'verify', 'lab']);
  assert.equal(verified.code, 0, verified.err + verified.out);
});
