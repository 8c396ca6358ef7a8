import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { reason } from '@felhom/protocol';
import { done, unknown } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import { checkNode, findingsOf } from './check-node.ts';
import { comparePermissions, effectiveOn, enrolmentCommands, undeclaredVmids } from './permissions.ts';
import { requiredAcl } from './required-acl.ts';
import { judgeVersions } from './versions.ts';

const required = requiredAcl({ pool: 'felhom', storages: ['local', 'nas'], node: 'pve1', bridges: ['vmbr0'] });
const never = new AbortController().signal;

/** What a node answers for a token with exactly the required set and members 9000 and 9001 in the pool. */
function exactly(): Map<string, Set<string>> {
  const held = new Map<string, Set<string>>();
  for (const entry of required.entries) {
    const role = required.roles.find((candidate) => candidate.name === entry.role);
    held.set(entry.path, new Set(role?.privileges.map((privilege) => privilege.name)));
  }
  for (const id of [9000, 9001]) held.set(`/vms/${id}`, new Set(held.get('/pool/felhom')));
  return held;
}

test('exactly the required set has no fault', () => {
  assert.deepEqual(comparePermissions(exactly(), required, 'felhom@pve'), []);
});

test('each privilege taken away is named with its path, its use and its command', () => {
  for (const entry of required.entries)
    for (const privilege of required.roles.find((role) => role.name === entry.role)?.privileges ?? []) {
      const held = exactly();
      held.get(entry.path)?.delete(privilege.name);
      const faults = comparePermissions(held, required, 'felhom@pve');
      assert.equal(faults.length, 1);
      assert.deepEqual(
        [faults[0]?.kind, faults[0]?.path, faults[0]?.privilege],
        ['missing', entry.path, privilege.name],
      );
      assert.equal(
        faults[0]?.command,
        `pveum acl modify ${entry.path} --users 'felhom@pve' --roles ${entry.role} --propagate ${entry.propagate ? 1 : 0}`,
      );
    }
});

test('a dangerous privilege is named wherever it is, once for a pool', () => {
  const held = exactly();
  held.set('/', new Set(['Sys.Modify', 'Sys.Audit']));
  for (const path of ['/pool/felhom', '/vms/9000', '/vms/9001']) held.get(path)?.add('VM.Console');
  held.get('/storage/nas')?.add('Datastore.Allocate');
  const faults = comparePermissions(held, required, 'felhom@pve!agent');
  assert.deepEqual(faults.map((fault) => `${fault.kind} ${fault.privilege} ${fault.path}`).sort(), [
    'dangerous Datastore.Allocate /storage/nas',
    'dangerous Sys.Modify /',
    'dangerous VM.Console /pool/felhom',
  ]);
  assert.equal(
    faults.find((fault) => fault.path === '/storage/nas')?.command,
    "pveum role modify FelhomStore --privs 'Datastore.AllocateSpace Datastore.Audit'",
  );
});

test('a token with separate privileges is granted as a token', () => {
  const [first] = comparePermissions(new Map(), required, 'felhom@pve!agent');
  assert.match(first?.command ?? '', /--tokens 'felhom@pve!agent' --roles FelhomGuest --propagate 1$/);
});

test('a deeper entry replaces what is inherited', () => {
  const held = new Map([
    ['/', new Set(['Sys.Audit'])],
    ['/nodes/pve1', new Set(['Sys.Syslog'])],
  ]);
  assert.deepEqual([...effectiveOn(held, '/nodes/pve1')], ['Sys.Syslog']);
  assert.deepEqual([...effectiveOn(held, '/nodes/pve2')], ['Sys.Audit']);
});

test('ids of the range that the pool does not hold', () => {
  assert.deepEqual(undeclaredVmids(exactly(), { from: 9000, to: 9003 }), [9002, 9003]);
});

test('enrolment creates what the check demands', () => {
  const commands = enrolmentCommands(required, 'felhom@pve', [9000, 9001]).join('\n');
  for (const entry of required.entries) assert.ok(commands.includes(`acl modify ${entry.path} `));
  for (const role of required.roles) assert.ok(commands.includes(`role add ${role.name} `));
  assert.ok(commands.includes('pveum pool modify felhom --vms 9000,9001'));
});

test('versions', () => {
  const rows = [
    ['9.2.11', '6.1.10', 'good'],
    ['9.1.0', '6.0.17', 'good'],
    ['9.1.0', '6.0.15', 'refused'],
    ['9.1.0', '6.0.16', 'refused'],
    ['9.0.3', '6.0.14', 'limited'],
    ['8.4.1', '5.2.6', 'limited'],
    ['9.2.11', undefined, 'limited'],
    ['7.4-3', '4.4-3', 'refused'],
    ['<html>', undefined, 'refused'],
  ] as const;
  for (const [pve, pct, is] of rows) assert.equal(judgeVersions(pve, pct).is, is, `${pve} ${pct}`);
  const old = judgeVersions('9.0.3', '6.0.14');
  assert.match(old.is === 'limited' ? old.loses.join() : '', /environment/);
});

const node = (held: Map<string, Set<string>>, pct: string | undefined) => ({
  facts: {
    version: async () => done({ version: '9.2.11', release: '9.2' }),
    permissions: async () => done(held),
    time: async () => done(0),
  },
  packages: {
    packages: async (): Promise<Outcome<ReadonlyMap<string, string>>> =>
      pct === undefined ? unknown(reason('pve.not-implemented', 'cannot')) : done(new Map([['pve-container', pct]])),
  },
});

test('the check blocks with one reason per cause and says how to mend it', async () => {
  const good = await checkNode(node(exactly(), '6.1.10'), required, 'felhom@pve', never);
  assert.deepEqual(good.is === 'checked' && [good.blocks, findingsOf(good, 1)], [[], []]);
  const held = exactly();
  held.get('/nodes/pve1')?.delete('Sys.Audit');
  held.get('/storage/nas')?.add('Datastore.Allocate');
  const bad = await checkNode(node(held, '6.0.16'), required, 'felhom@pve', never);
  assert.equal(bad.is, 'checked');
  if (bad.is !== 'checked') return;
  assert.deepEqual(
    bad.blocks.map((block) => block.code),
    ['pve.version-unsupported', 'pve.permissions-missing', 'pve.permissions-dangerous'],
  );
  assert.match(bad.blocks[1]?.text ?? '', /lacks Sys\.Audit on \/nodes\/pve1/);
  assert.match(bad.blocks[1]?.detail ?? '', /pveum acl modify \/nodes\/pve1/);
  assert.deepEqual(
    findingsOf(bad, 1).map((finding) => [finding.key, finding.severity]),
    [
      ['host.permission-missing', 'critical'],
      ['host.permission-dangerous', 'critical'],
      ['host.version-refused', 'critical'],
    ],
  );
});

test('versions of packages that cannot be read limit, and do not block', async () => {
  const check = await checkNode(node(exactly(), undefined), required, 'felhom@pve', never);
  assert.deepEqual(check.is === 'checked' && [check.versions.is, check.blocks], ['limited', []]);
});

test('a node that does not answer is not judged', async () => {
  const deaf = node(exactly(), '6.1.10');
  const why = reason('pve.unreachable', 'cannot read');
  const facts = { ...deaf.facts, permissions: async () => unknown(why) };
  const check = await checkNode({ facts, packages: deaf.packages }, required, 'felhom@pve', never);
  assert.deepEqual(check, { is: 'not-checked', why });
  assert.deepEqual(findingsOf(check, 1), []);
});

const recording = '../shared/pve/exchanges/52-least-privilege-pool.json';

test(
  'what a real node answered for the least-privilege token has no fault',
  { skip: existsSync(recording) ? false : `no recording ${recording}` },
  () => {
    const calls = JSON.parse(readFileSync(recording, 'utf8')) as {
      as?: string;
      path?: string;
      body?: { data?: Record<string, Record<string, number>> };
    }[];
    const answer = calls.find((call) => call.path === '/access/permissions' && call.as?.startsWith('felhomx@pve'));
    const held = new Map(
      Object.entries(answer?.body?.data ?? {}).map(([path, some]) => [path, new Set(Object.keys(some))]),
    );
    assert.ok(held.size > 10);
    const acl = requiredAcl({ pool: 'felhomx', storages: ['felhom', 'btr'], node: 'pve1', bridges: ['vmbr0'] });
    assert.deepEqual(comparePermissions(held, acl, 'felhomx@pve'), []);
    assert.deepEqual(undeclaredVmids(held, { from: 9000, to: 9010 }), [9010]);
  },
);
