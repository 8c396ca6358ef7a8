import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOfTrust, emptyChain, hostStatement, job, jobKinds, peopleNeeded } from '@felhom/protocol';
import type { JobKind } from '@felhom/protocol';
import { createStyle } from '@felhom/terminal';
import { CliError } from './io.ts';
import { jobFiles } from './jobs/catalog.ts';
import { makeJob } from './jobs/make-job.ts';
import { peopleFor, renderJob } from './jobs/summary.ts';
import { meaningOf } from './jobs/catalog.ts';
import { epochs, hostWithKey, photos, reportOf, startedAt, trustOf, uid } from './signing.fixture.ts';
import type { VerifiedHost } from './verified-host.ts';

const line = (): string => hostWithKey().line;
const hour = 3_600_000;
const webUid = 'b'.repeat(26);
const web = {
  name: 'web',
  uid: webUid,
  incarnation: 2,
  vmid: 9001,
  volumes: ['local:9001/root.raw'],
  bulkVolumes: [],
  status: 'running',
  drift: [],
  pending: [],
  held: false,
};
const copyOf = (id: string, more: object = {}) => ({
  id,
  uid,
  guest: 'photos',
  tier: 'nas',
  archive: `nas:backup/${id}.tar.zst`,
  sha256: id.slice(0, 1).repeat(64),
  at: startedAt - 20 * hour,
  sizeBytes: 1_000_000,
  consistency: 'app',
  class: 'scheduled',
  proven: true,
  protected: false,
  ...more,
});
const copies = [
  copyOf('dddd-new', { at: startedAt - hour, proven: false, consistency: 'crash' }),
  copyOf('cccc-mid'),
  copyOf('aaaa-old', { at: startedAt - 50 * hour }),
  copyOf('eeee-web', { uid: webUid, guest: 'web' }),
  copyOf('ffff-raw', { uid: webUid, guest: 'web', at: startedAt - hour, proven: false }),
];
const restores = [
  {
    id: 'restore-overwrite-1',
    guest: 'photos',
    uid,
    kind: 'overwrite',
    state: 'undoable',
    at: startedAt - 2 * hour,
    until: startedAt + 46 * hour,
    oldVmid: 9010,
    newVmid: 9000,
    lossSet: ['local:9010/root.raw'],
    text: 'Restored as 9000; the guest as it was is kept stopped as 9010.',
  },
  { id: 'restore-overwrite-0', guest: 'web', uid: webUid, kind: 'overwrite', state: 'finished', at: 1, text: 'over' },
];
const trust = trustOf([
  ['anna', line()],
  ['bela', line()],
  ['cili', line()],
]);
const hostile = '\u001b[2J\u001b]52;c;aGk=\u0007\r\nforged';

function verified(more: Readonly<Record<string, unknown>> = {}, document = trust): VerifiedHost {
  const statement = hostStatement.parse({
    v: 1,
    host: 'alpha',
    hostEpoch: epochs.first,
    sequence: 10,
    at: startedAt,
    challenge: `5.${'c'.repeat(32)}`,
    reportDigest: '0'.repeat(64),
    audit: emptyChain,
    trust: { version: 3, digest: digestOfTrust(document) },
  });
  const report = reportOf(document, {
    guests: [photos, web],
    copies,
    restores,
    targets,
    backups: [{ guest: 'photos', uid, tier: 'nas', target: 'nas', state: 'ok', rtoMs: 90_000, copies: 3, risks: [] }],
    parked: [
      {
        id: 'removal-1',
        name: 'removal',
        guest: 'photos',
        step: 'free',
        why: { code: 'pve.unreachable', text: `no answer ${hostile}`, retry: 'operator' },
        command: 'felhom job resume alpha removal-1',
        since: 1,
        lossSet: ['local:9000/root.raw'],
      },
    ],
    jobs: [
      {
        jobId: 'b'.repeat(26),
        kind: 'decommission',
        digest: '1'.repeat(64),
        state: 'cooling-off',
        text: hostile,
        guest: 'photos',
        by: [hostile],
        missing: 0,
        since: 1,
        at: 1,
      },
    ],
    strangers: [
      { vmid: 9007, name: 'old-web', configDigest: 'd'.repeat(40), volumes: ['local:9007/root.raw'], why: hostile },
    ],
    ...more,
  });
  return {
    hostId: 'alpha',
    statement,
    report,
    trust: document,
    seen: { hostEpoch: epochs.first, sequence: 10, statement: '0'.repeat(64) as never, audit: emptyChain },
  };
}

const random = (count: number): Uint8Array => new Uint8Array(count).fill(7);
const hex = 'e'.repeat(64);
const usb = {
  type: 'usb',
  name: 'usb',
  storage: 'nas',
  role: 'vzdump-target',
  class: 'slow',
  identity: 'ext4:AAAA-BBBB',
  binding: { serial: 'S1', uuid: 'AAAA-BBBB', idFile: hex },
  offsite: false,
  state: 'decommissioned',
  since: 1,
  why: 'it was taken out of use',
};
const share = { type: 'nfs', name: 'share', storage: 'share', role: 'vzdump-target', class: 'slow', offsite: true };
const shareAt = (server: string): string => JSON.stringify({ ...share, server, export: '/export' });
const targets = [
  usb,
  {
    ...share,
    identity: 'nfs:nas1:/export',
    binding: { serial: '-', uuid: 'nfs:nas1:/export', idFile: hex },
    state: 'attached',
    since: 1,
    why: '',
  },
  { ...usb, name: 'live', storage: 'live', state: 'attached' },
  { ...usb, name: 'old', storage: 'old', binding: undefined },
];
const newLine = line();

interface Row {
  readonly command: string;
  readonly operands?: readonly string[];
  readonly options?: Readonly<Record<string, string | readonly string[] | boolean>>;
  readonly kind: JobKind;
  readonly people: number;
  readonly says: RegExp;
}

const rows: readonly Row[] = [
  {
    command: 'approve',
    operands: [],
    kind: 'approve',
    people: 2,
    says: /guest-remove of guest photos/,
  },
  { command: 'decommission', operands: ['photos'], kind: 'decommission', people: 2, says: /local:9000\/photos.raw/ },
  { command: 'adopt', operands: ['9007'], kind: 'adopt', people: 1, says: /d{40}[^]*volume local:9007\/root.raw/ },
  {
    command: 're-register',
    operands: ['photos'],
    options: { vmid: '9000', volume: ['local:9000/root.raw'] },
    kind: 're-register',
    people: 1,
    says: /again at VMID 9000/,
  },
  { command: 'hold', kind: 'hold', people: 1, says: /hold everything on alpha/ },
  { command: 'unhold', operands: ['photos'], kind: 'hold', people: 1, says: /lift the hold on guest photos/ },
  { command: 'resume', operands: ['removal-1'], kind: 'saga', people: 1, says: /lost:\n {2}local:9000\/root.raw/ },
  { command: 'abandon', operands: ['removal-1'], kind: 'saga', people: 1, says: /abandon removal removal-1/ },
  {
    command: 'undo',
    operands: ['restore-overwrite-1'],
    kind: 'saga',
    people: 1,
    says: /guest as it was before 2026-01-09 22:00:00 UTC runs again\nWhat would be lost:\n {2}local:9000\/root.raw, with all[^]*Files written to local:9000\/photos.raw since then stay/,
  },
  {
    command: 'finish',
    operands: ['restore-overwrite-1'],
    kind: 'saga',
    people: 1,
    says: /lost:\n {2}local:9010\/root.raw, of the guest as it was[^]*Nothing can undo[^]*in 1 d 22 h/,
  },
  {
    command: 'cancel',
    operands: ['bbbb'],
    kind: 'cancel',
    people: 1,
    says: /cancel job b{26} \(decommission of photos/,
  },
  {
    command: 'trust-add',
    operands: ['dani', newLine],
    kind: 'trust-change',
    people: 2,
    says: /new signer: dani, SHA256:/,
  },
  {
    command: 'trust-retire',
    operands: ['anna'],
    options: { revoke: true },
    kind: 'trust-change',
    people: 2,
    says: /lost:\n {2}signer: anna[^]*revoked, whatever it signed/,
  },
  {
    command: 'trust-threshold',
    operands: ['destroy', '3'],
    kind: 'trust-change',
    people: 3,
    says: /destroy takes 3 people instead of 1/,
  },
  {
    command: 'trust-threshold',
    operands: ['removal', '1'],
    kind: 'trust-change',
    people: 2,
    says: /allowed afterwards:\n {2}removal takes one person instead of 2/,
  },
  {
    command: 'trust-renew',
    options: { days: '200' },
    kind: 'trust-change',
    people: 2,
    says: /expires 2026-07-29 instead of 2026-04-10/,
  },
  { command: 'floor', operands: ['keepDays', '3'], kind: 'floor-change', people: 1, says: /lost:\n {2}protection/ },
  { command: 'floor', operands: ['backupEveryHours', '12'], kind: 'floor-change', people: 1, says: /Nothing is lost/ },
  {
    command: 'break-glass open',
    options: { minutes: '30', loginKey: newLine, consent: ['c'.repeat(26)] },
    kind: 'break-glass-open',
    people: 1,
    says: /sees the data of every guest/,
  },
  { command: 'break-glass close', kind: 'break-glass-close', people: 1, says: /close break-glass/ },
  {
    command: 'hub-re-point',
    options: { url: 'https://hub.example', spki: hex },
    kind: 'hub-re-point',
    people: 2,
    says: /refuse jobs of this kind/,
  },
  {
    command: 'force-backup',
    operands: ['photos'],
    options: { tier: 'nas' },
    kind: 'force-backup',
    people: 1,
    says: /back up guest photos [^]*Nothing is lost/,
  },
  {
    command: 'restore-overwrite',
    operands: ['photos'],
    options: { backup: 'newest-proven', undoHours: '48' },
    kind: 'restore-overwrite',
    people: 1,
    says: /back to backup cccc-mid of tier nas, taken 2026-01-09 04:00:00 UTC \(20 h old\)\nWhat would be lost:\n {2}local:9000\/root.raw as it is now, [^\n]* since 2026-01-09 04:00:00 UTC: gone for good once the 48 hours[^]*Files written to local:9000\/photos.raw since then stay as they are, also when this is undone[^]*restore-overwrite-1 of this guest can still be undone[^]*A restore-test proved it. Restoring took 1 min 30 s/,
  },
  {
    command: 'restore-in-place',
    operands: ['web'],
    options: { backup: 'newest-proven' },
    kind: 'restore-in-place',
    people: 2,
    says: /local:9001\/root.raw as it is now[^\n]*gone at once and for good[^]*There is NO undo[^]*Nothing is carried over/,
  },
  {
    command: 'restore-copy',
    operands: ['photos'],
    options: { as: 'photos-then', backup: 'newest' },
    kind: 'restore-copy',
    people: 1,
    says: /new guest photos-then out of backup dddd-new[^]*NO restore-test has proven this copy[^]*without its apps held still/,
  },
  {
    command: 'rollback',
    operands: ['photos'],
    options: { snapshot: 'before', takenAt: String(startedAt / 1000), volume: ['local:9000/root.raw'] },
    kind: 'rollback',
    people: 1,
    says: /written to local:9000\/root.raw since 2026-01-10 00:00:00 UTC/,
  },
  {
    command: 'backup-delete',
    operands: ['photos'],
    options: { backup: 'aaaa-old' },
    kind: 'backup-delete',
    people: 1,
    says: /lost:\n {2}nas:backup\/aaaa-old[^]*2 others are reported, 1 of them proven/,
  },
  {
    command: 'backup-unprotect',
    operands: ['photos'],
    options: { archive: 'nas:backup/z.tar.zst', sha256: hex },
    kind: 'backup-unprotect',
    people: 1,
    says: /which the host does not report[^]*pruning may then delete it/,
  },
  {
    command: 'target-attach',
    operands: [
      'type: usb\nname: usb-1\nstorage: usb1\nrole: vzdump-target\nclass: slow\nuuid: AAAA-BBBB\nfileSystem: ext4\n',
    ],
    kind: 'target-attach',
    people: 1,
    says: /attach storage target usb-1: ext4:AAAA-BBBB, as vzdump-target[^]*goes to a disk that can be taken away/,
  },
  {
    command: 'target-detach',
    operands: ['usb'],
    kind: 'target-detach',
    people: 1,
    says: /detach target usb \(serial S1, UUID AAAA-BBBB\)[^]*3 copies of photos/,
  },
  {
    command: 'tunnel-change',
    operands: [
      'tunnel: dfed0ead-79e1-41cf-82b8-88ca8148a577\ningress:\n  - { hostname: photos.example.org, service: "http://192.168.1.50:80" }\n  - { service: "http_status:404" }\n',
    ],
    kind: 'tunnel-change',
    people: 1,
    says: /over tunnel dfed0ead-79e1-41cf-82b8-88ca8148a577 of [^]*new rule: photos\.example\.org → http:\/\/192\.168\.1\.50:80[^]*may reach 192\.168\.1\.50:80/,
  },
  {
    command: 'target-wipe',
    operands: ['usb'],
    kind: 'target-wipe',
    people: 2,
    says: /everything on it, for good[^]*3 copies of photos[^]*no secure erase/,
  },
  {
    command: 'target-re-point',
    operands: ['share', shareAt('nas2')],
    kind: 'target-re-point',
    people: 1,
    says: /re-point target share \(serial -, UUID nfs:nas1:\/export\) to nfs:nas2:\/export/,
  },
  {
    command: 'downgrade',
    operands: ['agent'],
    options: { to: '0.1.0', digest: hex },
    kind: 'downgrade',
    people: 1,
    says: /Older code/,
  },
];

const commands = new Map(
  Object.values(jobFiles).flatMap((file) =>
    file.commands.map((command) => [command.name, { kind: file.kind, command }] as const),
  ),
);

async function build(row: Pick<Row, 'command' | 'operands' | 'options'>, host: VerifiedHost) {
  const found = commands.get(row.command);
  assert.ok(found, row.command);
  const operands = row.command === 'approve' ? [host.report.blocked[0]?.digest] : (row.operands ?? []);
  const given = { operands, options: row.options ?? {}, readFile: async (text: string) => text };
  return makeJob(host, found.kind, await found.command.params(host, given), { random }, undefined);
}

for (const row of rows)
  test(`${row.command}: the job is valid, says what it means, and how many must sign`, async () => {
    const host = verified();
    const made = await build(row, host);
    assert.equal(made.kind, row.kind);
    assert.deepEqual(job.parse(made), made);
    assert.equal(peopleFor(meaningOf(made, host), host.trust), row.people);
    const text = renderJob(made, host, createStyle(false));
    assert.match(text, row.says);
    // oxlint-disable-next-line no-control-regex
    assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f]/);
    assert.doesNotMatch(text, /^\s*forged/m);
  });

test('every kind of the protocol has a row above, and every row a command', () => {
  assert.deepEqual([...new Set(rows.map(({ kind }) => kind))].sort(), [...jobKinds].sort());
  assert.deepEqual(
    [...new Set(rows.map(({ command }) => command))].sort(),
    [...commands.keys()].filter((name) => name !== 'trust-change').sort(),
  );
});

test('one person who runs a host alone signs alone, and higher thresholds ask for more', async () => {
  const alone = trustOf([['anna', line()]], {
    loneOperator: true,
    thresholds: { destroy: 1, disclose: 1, deploy: 1, divert: 1, removal: 1, trust: 1 },
  });
  const host = verified({}, alone);
  for (const row of rows.filter(({ command }) => !command.startsWith('trust-') && command !== 'floor')) {
    const made = await build(row, host);
    assert.equal(peopleFor(meaningOf(made, host), alone), 1, row.command);
  }
  const strict = trustOf(
    trust.signers.map(({ principal, key }) => [principal, key] as const),
    {
      thresholds: { destroy: 3, disclose: 1, deploy: 1, divert: 2, removal: 2, trust: 2 },
    },
  );
  const asked = verified({}, strict);
  assert.equal(
    peopleFor(meaningOf(await build({ command: 'decommission', operands: ['photos'] }, asked), asked), strict),
    3,
  );
  assert.equal(
    peopleFor(meaningOf(await build({ command: 'hold' }, asked), asked), strict),
    peopleNeeded(strict, ['divert'], 1),
  );
});

const wrong: readonly (readonly [name: string, row: Pick<Row, 'command' | 'operands' | 'options'>, why: RegExp])[] = [
  ['a guest that is not there', { command: 'decommission', operands: ['ghost'] }, /reports no guest "ghost"/],
  ['a stranger that is not there', { command: 'adopt', operands: ['9999'] }, /no guest at VMID 9999/],
  ['a saga that is not there', { command: 'resume', operands: ['nope'] }, /reports no saga/],
  ['a job that is not there', { command: 'cancel', operands: ['zzzz'] }, /reports no job/],
  [
    'too many minutes',
    { command: 'break-glass open', options: { minutes: '500', loginKey: newLine } },
    /params.minutes/,
  ],
  [
    'a private key where a public one belongs',
    { command: 'trust-add', operands: ['dani', '-----BEGIN OPENSSH PRIVATE KEY-----'] },
    /public key/,
  ],
  [
    'more people than there are',
    { command: 'trust-threshold', operands: ['destroy', '4'] },
    /4 people must be able to sign, only 3 can/,
  ],
  ['a threshold that is none', { command: 'trust-threshold', operands: ['all', '1'] }, /the classes are destroy/],
  ['everybody retired', { command: 'trust-retire', operands: ['nobody'] }, /nobody called "nobody"/],
  ['the wiping of what is in use', { command: 'target-wipe', operands: ['live'] }, /live is in use; detach it first/],
  ['the wiping of a server', { command: 'target-wipe', operands: ['share'] }, /share is a server/],
  ['a target that is not there', { command: 'target-detach', operands: ['gone'] }, /reports no target "gone"/],
  ['a target of an older agent', { command: 'target-detach', operands: ['old'] }, /does not say what a signature/],
  ['the re-pointing of a disk', { command: 'target-re-point', operands: ['usb', shareAt('x')] }, /is of share and not/],
  [
    'the re-pointing of a disk under its name',
    { command: 'target-re-point', operands: ['usb', shareAt('x').replace('"share"', '"usb"')] },
    /attach the new one under a new name/,
  ],
  [
    'a backup that is not there',
    { command: 'backup-delete', operands: ['photos'], options: { backup: 'nothere' } },
    /reports no backup "nothere"/,
  ],
  [
    'a backup of another guest',
    { command: 'backup-delete', operands: ['photos'], options: { backup: 'eeee-web' } },
    /reports no backup "eeee-web" of photos/,
  ],
  [
    'too short a part of an id',
    { command: 'backup-delete', operands: ['photos'], options: { backup: 'aaaa' } },
    /reports no backup "aaaa"/,
  ],
  [
    'in place with bulk',
    { command: 'restore-in-place', operands: ['photos'], options: { backup: 'newest-proven' } },
    /has bulk volumes \(local:9000\/photos.raw\)/,
  ],
  [
    'in place from what was not proven',
    { command: 'restore-in-place', operands: ['web'], options: { backup: 'newest' } },
    /no restore-test has proven/,
  ],
  [
    'a copy under a name that is taken',
    { command: 'restore-copy', operands: ['photos'], options: { as: 'web', backup: 'newest' } },
    /has a guest web already/,
  ],
  ['the undo of what is over', { command: 'undo', operands: ['restore-overwrite-0'] }, /is finished already/],
  ['the undo of what is no restore', { command: 'undo', operands: ['removal-1'] }, /reports no restore/],
  ['a floor that is none', { command: 'floor', operands: ['roof', '1'] }, /the floors are keepDays/],
];

for (const [name, row, why] of wrong)
  test(`${name} makes no job`, async () => {
    await assert.rejects(
      build(row, verified()),
      (error: unknown) => error instanceof CliError && why.test(error.message),
    );
  });

test('a removal whose loss the host does not tell makes no job, and the error says how to get it', async () => {
  const host = verified({
    blocked: [],
    guests: [
      {
        name: 'photos',
        uid: 'abcdefghijklmnopqrstuvwxyz',
        incarnation: 1,
        status: 'running',
        drift: [],
        pending: [],
        held: false,
      },
    ],
  });
  await assert.rejects(build({ command: 'decommission', operands: ['photos'] }, host), (error: unknown) => {
    return error instanceof CliError && /take photos out of the desired state/.test(error.next ?? '');
  });
});

test('a restore names exactly what is carried over and what is lost, and the bytes of the copy', async () => {
  const row = { command: 'restore-overwrite', operands: ['photos'], options: { backup: 'newest', undoHours: '1' } };
  const { params } = await build(row, verified());
  assert.deepEqual(params, {
    guest: { uid, incarnation: 1 },
    backup: { archive: 'nas:backup/dddd-new.tar.zst', sha256: 'd'.repeat(64) },
    bulk: ['local:9000/photos.raw'],
    lossSet: ['local:9000/root.raw'],
    undoHours: 1,
  });
});

const { bulkVolumes: _bulk, ...unsaid } = photos;
const silent: readonly (readonly [
  name: string,
  more: Readonly<Record<string, unknown>>,
  command: string,
  why: RegExp,
])[] = [
  [
    'which volumes are bulk',
    { guests: [unsaid] },
    'restore-overwrite',
    /does not say which volumes of photos are bulk/,
  ],
  [
    'a bulk volume on record',
    { guests: [{ ...photos, bulkVolumes: ['local:9000/other.raw'] }] },
    'restore-overwrite',
    /other.raw of photos is in its config and not on record/,
  ],
  ['what an undo loses', { guests: [unsaid] }, 'undo', /does not say what would be lost/],
  [
    'the newest copy, which the tier has',
    {
      backups: [
        {
          guest: 'photos',
          uid,
          tier: 'nas',
          target: 'nas',
          state: 'ok',
          copies: 9,
          risks: [],
          newest: { id: 'x', at: startedAt, consistency: 'app', mode: 'snapshot', sizeBytes: 1 },
        },
      ],
    },
    'restore-overwrite',
    /is not among the copies/,
  ],
];
for (const [name, more, command, why] of silent)
  test(`a report that does not tell ${name} makes no job`, async () => {
    const row =
      command === 'undo'
        ? { command, operands: ['restore-overwrite-1'] }
        : { command, operands: ['photos'], options: { backup: 'newest', undoHours: '1' } };
    await assert.rejects(
      build(row, verified(more)),
      (error: unknown) => error instanceof CliError && why.test(error.message),
    );
  });

test('who signs second is told that the host reports other volumes by now', async () => {
  const row = { command: 'restore-overwrite', operands: ['photos'], options: { backup: 'newest', undoHours: '1' } };
  const made = await build(row, verified());
  const now = verified({ guests: [{ ...photos, volumes: [...photos.volumes, 'local:9000/new.raw'] }] });
  assert.match(renderJob(made, now, createStyle(false)), /reports other volumes of this guest: it will refuse/);
});
