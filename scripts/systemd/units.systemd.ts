/** What can be said of the units before any of them runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { breakGlassUnits, unitNames } from '../../packages/agent/src/root-verbs/break-glass-units.ts';
import { bootContainer, install } from './container.ts';
import type { Container } from './container.ts';
import { placeNotifier } from './stand-ins.ts';

const units = [
  'felhom-agent.service',
  'felhom-root.socket',
  'felhom-root@.service',
  'felhom-root.slice',
  'felhom-cloudflared.service',
  'felhom-health-gate.path',
  'felhom-health-gate.service',
];

/** Tenths, as `--threshold=` takes them. What the helper may is its verbs, not its sandbox. */
const thresholds: readonly [string, number][] = [
  ['felhom-agent.service', 20],
  ['felhom-cloudflared.service', 15],
  ['felhom-root@.service', 70],
  ['felhom-health-gate.service', 20],
];

const glass = breakGlassUnits({
  minutes: 1,
  key: `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${'A'.repeat(43)}`,
  until: 1_800_000_000_000,
  settings: {
    v: 1,
    port: 52_022,
    tunnel: {
      id: 'dfed0ead-79e1-41cf-82b8-88ca8148a577',
      hostname: 'rescue-box-1.example.org',
      credentialsFile: '/etc/felhom/break-glass-tunnel.json',
    },
  },
  runDirectory: '/run/felhom-break-glass',
  unitDirectory: '/run/systemd/system',
});

async function openGlass(container: Container): Promise<void> {
  for (const [name, text] of Object.entries(glass.units))
    // The shortest that it may be open is a minute, and nobody waits for that here.
    await container.write(`/run/systemd/system/${name}`, text.replace('OnActiveSec=60s', 'OnActiveSec=5s'));
  for (const [name, text] of Object.entries(glass.files))
    await container.write(`/run/felhom-break-glass/${name}`, text, '0600');
  await container.must('systemctl', 'daemon-reload');
}

test('units', async (t) => {
  const container = await bootContainer(t, 'units');
  await install(container);
  await placeNotifier(container, '/usr/bin/cloudflared');
  await placeNotifier(container, '/usr/sbin/sshd');

  await t.test('systemd has nothing to say against any unit', async () => {
    await openGlass(container);
    for (const unit of [...units, ...Object.values(unitNames)]) {
      // An unknown name is only a warning for systemd, so any word at all counts.
      const { code, stdout, stderr } = await container.run(['systemd-analyze', 'verify', unit]);
      assert.deepEqual([unit, code, stdout + stderr], [unit, 0, '']);
    }
  });

  await t.test('each sandbox is as tight as it says', async (t2) => {
    for (const [unit, threshold] of thresholds) {
      const path = `/usr/lib/systemd/system/${unit}`;
      const { code, stdout } = await container.run([
        'systemd-analyze',
        'security',
        '--offline=true',
        `--threshold=${threshold}`,
        path,
      ]);
      t2.diagnostic(stdout.trim().split('\n').at(-1)?.replace('→ ', '') ?? '');
      assert.equal(code, 0, stdout);
    }
  });

  await t.test('break-glass is closed by its timer, without agent or helper', async () => {
    await container.must('systemctl', 'start', unitNames.timer, unitNames.sshd);
    const left = ['/run/felhom-break-glass', `/run/systemd/system/${unitNames.sshd}`];
    await container.until('it closes', async () => (await container.run(['ls', '-d', ...left])).stdout === '');
    assert.notEqual(await container.show(unitNames.sshd, 'ActiveState'), 'active');
  });
});
