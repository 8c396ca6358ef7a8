import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentVersion, versionIn } from '../version.ts';
import { selfTest } from './self-test.ts';

test('this program is whole', async () => {
  assert.equal(await selfTest(), undefined);
});

test('a version names the slot that it runs from, and no slot elsewhere', () => {
  assert.equal(versionIn('/opt/felhom/slots/b/packages/agent/src/commands'), `${agentVersion} (slot b)`);
  assert.equal(versionIn('/opt/felhom/packages/agent/src/commands'), agentVersion);
  assert.equal(versionIn('/srv/opt/felhom/slots/b/packages'), agentVersion);
});
