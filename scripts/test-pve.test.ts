import assert from 'node:assert/strict';
import { test } from 'node:test';
import { optInValue, readEnvironment } from '../packages/agent/test/pve/environment.ts';

const whole = {
  FELHOM_PVE_OPT_IN: optInValue,
  FELHOM_PVE_URL: 'https://localhost:8006',
  FELHOM_PVE_TOKEN: 'felhom@pve!agent=00000000-1111',
  FELHOM_PVE_INSECURE: '1',
  FELHOM_PVE_NODE: 'pve1',
  FELHOM_PVE_STORAGE: 'local',
  FELHOM_PVE_BRIDGE: 'vmbr0',
  FELHOM_PVE_POOL: 'felhom',
  FELHOM_PVE_ARCHIVE: 'local:backup/vzdump-lxc-9009-2026_01_01-00_00_00.tar.zst',
  FELHOM_PVE_VMIDS: '9000-9009',
};
const problemsOf = (env: Record<string, string | undefined>): string => {
  const found = readEnvironment(env, () => 'content');
  return found.is === 'incomplete' ? found.problems.join('\n') : found.is;
};

test('without the exact opt-in nothing else matters', () => {
  assert.equal(readEnvironment({ ...whole, FELHOM_PVE_OPT_IN: 'yes' }).is, 'not-opted-in');
  assert.equal(readEnvironment({}).is, 'not-opted-in');
});

test('a whole environment is read; a helper is a path or a JSON array', () => {
  const found = readEnvironment({ ...whole, FELHOM_PVE_HELPER: '["sudo","-n","/x"]' });
  assert.deepEqual(found.is === 'ready' && [found.settings.vmids, found.settings.helper, found.settings.trust], [
    { from: 9000, to: 9009 },
    ['sudo', '-n', '/x'],
    { is: 'first-use' },
  ]);
  const path = readEnvironment({ ...whole, FELHOM_PVE_HELPER: '/usr/lib/felhom/helper' });
  assert.deepEqual(path.is === 'ready' && path.settings.helper, ['/usr/lib/felhom/helper']);
});

test('scratch guests and backups have places of their own where told, and lie beside the others where not', () => {
  const plain = readEnvironment(whole);
  assert.deepEqual(plain.is === 'ready' && [plain.settings.scratch, plain.settings.backupStorage], [
    { from: 9008, to: 9009 },
    'local',
  ]);
  const told = readEnvironment({ ...whole, FELHOM_PVE_SCRATCH: '9800-9809', FELHOM_PVE_BACKUPS: 'usb' });
  assert.deepEqual(told.is === 'ready' && [told.settings.scratch, told.settings.backupStorage], [
    { from: 9800, to: 9809 },
    'usb',
  ]);
  assert.match(problemsOf({ ...whole, FELHOM_PVE_SCRATCH: '9800' }), /FELHOM_PVE_SCRATCH/);
});

test('every missing or wrong variable is named at once, the token never repeated', () => {
  const problems = problemsOf({ FELHOM_PVE_OPT_IN: optInValue, FELHOM_PVE_TOKEN: 'my-secret' });
  for (const name of Object.keys(whole).filter((key) => key !== 'FELHOM_PVE_OPT_IN'))
    assert.ok(problems.includes(name), name);
  assert.ok(!problems.includes('my-secret'));
  assert.match(problemsOf({ ...whole, FELHOM_PVE_URL: 'http://localhost' }), /FELHOM_PVE_URL is not valid/);
  assert.match(problemsOf({ ...whole, FELHOM_PVE_VMIDS: '9009-9000' }), /FELHOM_PVE_VMIDS/);
  assert.match(problemsOf({ ...whole, FELHOM_PVE_HELPER: '[1]' }), /FELHOM_PVE_HELPER/);
});
