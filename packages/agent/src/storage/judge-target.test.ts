import assert from 'node:assert/strict';
import { test } from 'node:test';
import { declaredTarget, markText } from '../storage-manifest.ts';
import { damping, isFlapping, judgeTarget } from './judge-target.ts';
import type { TargetSight } from './judge-target.ts';
import type { Standing } from './standing.ts';
import { disk, entry, mark, mountOf, usbTarget } from './test/target-bench.ts';

const now = 1_800_000_000_000;
const answers = { is: 'answers', mark: markText(mark) } as const;

const well: TargetSight = {
  declared: usbTarget(),
  mount: mountOf(),
  disks: [disk()],
  probe: { of: '8:17 1', found: answers },
  entry: entry(),
  before: undefined,
  now,
  node: 'pve1',
};
const probed = (found: NonNullable<TargetSight['probe']>['found'], of = '8:17 1') => ({ probe: { of, found } });
const stick = disk({ uuid: '99999999-0000-4000-8000-000000000000', device: 'sdc1' });

const server = (target: Record<string, unknown>) =>
  declaredTarget.parse({ target, state: 'attached', mark, attachedAt: 1 });
const common = { storage: 'nas', role: 'vzdump-target', class: 'slow', offsite: true };
const nfs = server({ type: 'nfs', name: 'nas', ...common, server: '10.0.0.5', export: '/srv/backup' });
const fingerprint = Array.from({ length: 32 }, () => 'aa').join(':');
const pbs = server({
  type: 'pbs',
  name: 'vault',
  ...common,
  storage: 'vault',
  role: 'pbs-offsite',
  server: 'pbs.example',
  datastore: 'box',
  user: 'felhom@pbs',
  credential: 'vault',
  fingerprint,
});
const nfsMount = {
  path: '/mnt/pve/nas',
  fileSystem: 'nfs4',
  source: '10.0.0.5:/srv/backup',
  readOnly: false,
  disk: undefined,
};
const soft = { options: 'soft,timeo=100,retrans=3,nosuid,nodev,noexec' };
const nfsSight = {
  declared: nfs,
  mount: nfsMount,
  probe: { of: nfsMount.source, found: { is: 'answers' } },
  entry: entry({ ...soft, type: 'nfs', server: '10.0.0.5', export: '/srv/backup', path: '/mnt/pve/nas' }, 'nas'),
} as const;
const pbsIdentity = `pbs:pbs.example:8007:box::${fingerprint}`;
const pbsSight = {
  declared: pbs,
  mount: undefined,
  probe: { of: pbsIdentity, found: { is: 'answers', fingerprint } },
  entry: entry({ type: 'pbs', server: 'pbs.example', datastore: 'box', username: 'felhom@pbs', fingerprint }, 'vault'),
} as const;

const table: [name: string, changes: Partial<TargetSight>, is: string][] = [
  ['all agrees', {}, 'attached'],
  ['serial unknown to udev: the mark decides', { mount: mountOf({ disk: disk({ serials: [] }) }) }, 'attached'],
  ['Proxmox did not say', { entry: 'unknown' }, 'attached'],
  [
    'letters of the UUID in the other case',
    { mount: mountOf({ disk: disk({ uuid: disk().uuid.toUpperCase() }) }) },
    'attached',
  ],
  ['no disk at all', { mount: undefined, disks: [] }, 'absent'],
  ['another disk in its port', { mount: undefined, disks: [stick] }, 'absent'],
  ['plugged in and not mounted', { mount: undefined }, 'not-mounted, mount'],
  ['a copy plugged in: right UUID, other number', { mount: undefined, disks: [disk({ serials: ['S2'] })] }, 'other'],
  ['it and a copy of it', { mount: undefined, disks: [disk(), disk({ device: 'sdc1' })] }, 'other'],
  ['pulled, the mount still there', { mount: mountOf({ disk: undefined }), disks: [] }, 'absent'],
  ['back under another name, the mount of before in use', { mount: mountOf({ disk: undefined }) }, 'in-use, mount'],
  [
    'a copy plugged in, the mount of before in use',
    { mount: mountOf({ disk: undefined }), disks: [disk({ serials: ['S2'] })] },
    'absent',
  ],
  ['another disk mounted at its path', { mount: mountOf({ disk: stick }) }, 'other, unmount'],
  ['a copy mounted at its path', { mount: mountOf({ disk: disk({ serials: ['S2'] }) }) }, 'other, unmount'],
  ['the same UUID on another file system', { mount: mountOf({ disk: disk({ fileSystem: 'xfs' }) }) }, 'other, unmount'],
  ['a share mounted at its path', { mount: mountOf({ disk: undefined, source: 'evil:/x' }) }, 'other'],
  ['read-only after an error', { mount: mountOf({ readOnly: true }) }, 'read-only'],
  ['not asked yet', { probe: undefined }, 'not-asked'],
  ['asked at its last plugging in only', probed(answers, '8:17 0'), 'not-asked'],
  ['hanging', probed({ is: 'hangs' }), 'hung'],
  ['an error when read', probed({ is: 'fails', text: 'Input/output error' }), 'failing'],
  ['emptied', probed({ is: 'answers' }), 'no-mark'],
  [
    'a copy with its UUID and number, not its mark',
    probed({ is: 'answers', mark: markText('cd'.repeat(16)) }),
    'other, unmount',
  ],
  ['a mark that is none', probed({ is: 'answers', mark: 'hello' }), 'other, unmount'],
  ['no entry of Proxmox', { entry: 'missing' }, 'definition-missing, define'],
  ['an entry without is_mountpoint', { entry: entry({ is_mountpoint: '0' }) }, 'definition-differs, define'],
  ['an entry that leads elsewhere', { entry: entry({ path: '/srv' }) }, 'definition-other'],
  ['an entry for other nodes only', { entry: entry({ nodes: 'pve2' }) }, 'definition-differs, define'],
  [
    'an entry that puts its copies somewhere else in it',
    { entry: entry({ 'content-dirs': 'backup=x' }) },
    'definition-differs, define',
  ],
  ['an entry that prunes', { entry: entry({ 'prune-backups': 'keep-last=3' }) }, 'attached, define, drift'],
  ['an entry that makes its folder', { entry: entry({ 'create-base-path': '1' }) }, 'attached, define, drift'],
  ['an entry that is for images too', { entry: entry({ content: 'backup,iso' }) }, 'attached, define, drift'],
  ['an entry for other nodes too', { entry: entry({ nodes: 'pve2,pve1' }) }, 'attached, define, drift'],
  ['of a node that nobody knows', { entry: entry({ nodes: 'pve2' }), node: undefined }, 'attached'],
  ['an entry with what a person added', { entry: entry({ bwlimit: 'default=100' }) }, 'attached'],
  ['a disabled entry', { entry: entry({ disable: '1' }) }, 'definition-differs, define'],
  ['an entry that is not for backups', { entry: entry({ content: 'rootdir' }) }, 'definition-differs, define'],
  ['is_mountpoint spelled as its path', { entry: entry({ is_mountpoint: '/mnt/felhom/usb1' }) }, 'attached'],
  ['of a target that is away only that is said', { mount: undefined, disks: [], entry: 'missing' }, 'absent'],
  [
    'decommissioned',
    { declared: usbTarget({}, { state: 'decommissioned' }), mount: undefined, disks: [] },
    'decommissioned',
  ],
  ['nfs: well', nfsSight, 'attached'],
  ['nfs: no entry', { ...nfsSight, mount: undefined, entry: 'missing' }, 'definition-missing, define'],
  ['nfs: Proxmox could not mount it', { ...nfsSight, mount: undefined }, 'unreachable'],
  ['nfs: another export', { ...nfsSight, mount: { ...nfsMount, source: '10.0.0.9:/srv/backup' } }, 'other'],
  ['nfs: hanging', { ...nfsSight, ...probed({ is: 'hangs' }, nfsMount.source) }, 'unreachable'],
  [
    'nfs: the entry leads to another server',
    { ...nfsSight, entry: entry({ type: 'nfs', server: '10.0.0.9', export: '/srv/backup' }) },
    'definition-other',
  ],
  ['pbs: well', pbsSight, 'attached'],
  ['pbs: another certificate', { ...pbsSight, ...probed({ is: 'answers', fingerprint: 'bb' }, pbsIdentity) }, 'other'],
  ['pbs: refused', { ...pbsSight, ...probed({ is: 'fails', text: 'ECONNREFUSED' }, pbsIdentity) }, 'unreachable'],
];
for (const [name, changes, is] of table)
  test(`a target: ${name} → ${is}`, () => {
    const { standing, remedy, drift } = judgeTarget({ ...well, ...changes });
    const said = [standing.cause ?? standing.state, ...(remedy === 'none' ? [] : [remedy])];
    assert.equal([...said, ...(drift === undefined ? [] : ['drift'])].join(', '), is);
    assert.equal(standing.why === '', standing.state === 'attached', standing.why);
  });

/** Minutes at which it went (`-`) and came (`+`), and how it stands then. */
function live(story: readonly [minute: number, there: boolean][]): readonly Standing[] {
  let before: Standing | undefined;
  return story.map(([minute, there], turn) => {
    const appearance = `8:17 ${turn}`;
    const sight = there
      ? { ...well, mount: mountOf({ disk: disk({ appearance }) }), ...probed(answers, appearance) }
      : { ...well, mount: undefined, disks: [] };
    before = judgeTarget({ ...sight, before, now: now + minute * 60_000 }).standing;
    return before;
  });
}
const shown = (standings: readonly Standing[]): string[] =>
  standings.map(
    (one) => `${one.cause ?? one.state} since ${(one.since - now) / 60_000}${isFlapping(one) ? ' flapping' : ''}`,
  );

test('a drop counts at once, and so does the return', () => {
  assert.deepEqual(
    shown(
      live([
        [0, true],
        [1, false],
        [2, false],
        [3, true],
      ]),
    ),
    ['attached since 0', 'absent since 1', 'absent since 1', 'attached since 3'],
  );
});

test('what comes and goes is away since the first time, until it has stayed', () => {
  const story: [number, boolean][] = [
    [0, true],
    [1, false],
    [2, true],
    [3, false],
    [4, true],
    [5, false],
    [6, true],
  ];
  assert.deepEqual(shown(live(story)).slice(4), [
    'attached since 4',
    'absent since 5 flapping',
    'settling since 5 flapping',
  ]);
  const more: [number, boolean][] = [...story, [7, false], [8, true]];
  assert.deepEqual(shown(live(more)).slice(-2), ['absent since 5 flapping', 'settling since 5 flapping']);
});

test('after it has stayed it counts as attached, and once the drops are old it no longer flaps', () => {
  const settled = damping.settleMs / 60_000;
  let before: Standing | undefined;
  const at = (minute: number, there: boolean): Standing => {
    const sight = there ? well : { ...well, mount: undefined, disks: [] };
    before = judgeTarget({ ...sight, before, now: now + minute * 60_000 }).standing;
    return before;
  };
  for (const minute of [0, 1, 2, 3, 4, 5]) at(minute, minute % 2 === 0);
  assert.deepEqual(shown([at(6, true), at(6 + settled - 1, true), at(6 + settled, true)]), [
    'settling since 5 flapping',
    'settling since 5 flapping',
    `attached since ${6 + settled} flapping`,
  ]);
  assert.equal(isFlapping(at(30, true)), false);
});

test('drops that were noted under a clock that was ahead are forgotten when it is set back', () => {
  const ahead = now + 300 * 24 * 60 * 60_000;
  const before: Standing = {
    state: 'disconnected',
    why: '',
    since: ahead,
    drops: [ahead, ahead, ahead],
    wellSince: ahead,
  };
  const { state, drops } = judgeTarget({ ...well, before, now }).standing;
  assert.deepEqual([state, drops], ['attached', []]);
});

test('a plugging in that nobody saw is another attachment; a restart of the agent is none', () => {
  const first = judgeTarget(well).standing;
  const restarted = judgeTarget({ ...well, probe: undefined, before: first, now: now + 1000 }).standing;
  assert.deepEqual(restarted, first);
  const appearance = '8:17 2';
  const sight = { ...well, mount: mountOf({ disk: disk({ appearance }) }), before: first, now: now + 5000 };
  assert.equal(judgeTarget({ ...sight, probe: undefined }).standing.cause, 'not-asked');
  assert.equal(judgeTarget({ ...sight, ...probed(answers, appearance) }).standing.since, now + 5000);
});
