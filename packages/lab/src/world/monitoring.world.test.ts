/** A host that is looked at, on the fake node: what its operator is told, and what never. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Finding } from '@felhom/protocol';
import { labGuest } from './desired.ts';
import { createSimHost } from './sim-host.ts';
import { createSimWorld } from './sim-world.ts';
import type { SimWorldOptions } from './sim-world.ts';

const minute = 60_000;

async function watchedWorld(more: Partial<SimWorldOptions> = {}) {
  const host = createSimHost();
  const world = await createSimWorld({ seed: 7, guestRange: 4, host, ...more });
  world.hub.publish([labGuest('photos')]);
  const { agent } = world.boot();
  assert.ok(await world.until(() => agent.report().converged, 10 * minute), 'did not converge');
  const { vmid } = agent.guests().find(({ name }) => name === 'photos') ?? assert.fail('no guest');
  const asRoot = (method: 'POST', path: string, params: Record<string, unknown>) =>
    world.clock.runUntil(world.node.handle({ method, path, params, as: 'root@pam' }));
  const found = (key: string): Finding | undefined => agent.report().findings.find((one) => one.key === key);
  return { world, host, agent, vmid, asRoot, found };
}

test('a host that is well: disks and tunnel in the report, numbers beside it, no finding, and no news', async () => {
  const { world, agent } = await watchedWorld();
  await world.clock.advance(5 * minute);
  const { disks, tunnel, findings } = agent.report();
  assert.deepEqual(disks, [{ device: 'vda', model: '', serial: '', health: 'unknown' }]);
  assert.equal(tunnel.is, 'up');
  assert.deepEqual(
    findings.filter(({ key }) => /^(?:host|disk|tunnel|task)\./.test(key)),
    [],
  );
  assert.equal(agent.vitals()?.memory?.totalBytes, 16 * 1024 ** 3);
  const before = JSON.stringify(agent.report().findings);
  await world.clock.advance(30 * minute);
  assert.equal(JSON.stringify(agent.report().findings), before);
});

test("a person's backup that died leaves a lock: told with how it ended, and not before nothing works on it", async () => {
  const { world, vmid, asRoot, found } = await watchedWorld({ pace: { backupMs: 8 * minute } });
  await asRoot('POST', '/nodes/pve1/vzdump', { vmid: String(vmid), storage: 'backup', mode: 'snapshot' });
  await world.clock.advance(5 * minute);
  const running = world.node.tasks.running();
  assert.equal(running.length, 1, 'it takes its time');
  assert.equal(found('guest.lock-stale'), undefined, 'a task works on it');
  for (const { upid } of running) world.node.tasks.kill(upid);
  assert.ok(await world.until(() => found('guest.lock-stale') !== undefined, 6 * minute), 'the lock is not told');
  const finding = found('guest.lock-stale');
  assert.equal(finding?.subject, 'photos');
  assert.match(finding.text, /locked \(backup\).*vzdump by root@pam, ended with: unexpected status/);
  assert.ok(await world.until(() => found('task.failed') !== undefined, 6 * minute), 'its failure is not told');
  assert.equal(found('task.failed')?.subject, `vzdump ${vmid}`);
});

test('backups of ours, and guests that somebody turned off, are no finding', async () => {
  const { world, vmid, asRoot, agent } = await watchedWorld();
  await asRoot('POST', `/nodes/pve1/lxc/${vmid}/status/stop`, {});
  await world.clock.advance(5 * minute);
  const keys = agent.report().findings.map(({ key }) => key);
  assert.deepEqual(
    keys.filter((key) => /^(?:task|guest\.lock|host)\b/.test(key)),
    [],
  );
});

test('a service of Proxmox that stays down, and a line that breaks', async () => {
  const { world, host, found, agent } = await watchedWorld();
  host.units = host.units.map((one) => (one.unit === 'pvestatd.service' ? { ...one, active: 'failed' } : one));
  host.connections = 0;
  host.internet = false;
  world.hub.mood = 'unreachable';
  await world.clock.advance(6 * minute);
  assert.equal(found('host.service-down')?.subject, 'pvestatd.service');
  assert.equal(agent.report().tunnel.is, 'no-internet');
  assert.equal(found('tunnel.down'), undefined);
  host.units = host.units.map((one) => ({ ...one, active: 'active' }));
  host.connections = 4;
  world.hub.mood = 'well';
  await world.clock.advance(4 * minute);
  assert.equal(found('host.service-down'), undefined);
  assert.equal(agent.report().tunnel.is, 'up');
});
