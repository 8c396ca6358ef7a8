import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ErrorCode } from '@felhom/protocol';
import { classify } from './classify.ts';
import type { CallFacts } from './classify.ts';
import type { WriteKind } from './texts.ts';
import type { RawAnswer } from './transport.ts';

const json = (status: number, body: unknown, reason = 'x'): RawAnswer => ({
  is: 'answered',
  answer: { status, reason, contentType: 'application/json;charset=UTF-8', body: JSON.stringify(body) },
});
const bare = (status: number, reason: string, contentType?: string, body = ''): RawAnswer => ({
  is: 'answered',
  answer: { status, reason, contentType, body },
});
const died = (message: string): RawAnswer => json(500, { data: null, message: `${message}\n` });
const parameter = (key: string, text: string): RawAnswer =>
  json(400, { data: null, message: 'Parameter verification failed.\n', errors: { [key]: text } });

type Row = [name: string, kind: CallFacts['kind'], raw: RawAnswer, is: 'refused' | 'unknown', code: ErrorCode];

const rows: Row[] = [
  ['occupied id', 'restore', died("CT 100 already exists on node 'pve1'"), 'refused', 'pve.vmid-taken'],
  [
    'missing guest',
    'read',
    died("Configuration file 'nodes/pve1/lxc/9.conf' does not exist"),
    'refused',
    'pve.guest-absent',
  ],
  [
    'destroy of a missing guest',
    'destroy',
    died("Configuration file 'nodes/pve1/lxc/9.conf' does not exist"),
    'refused',
    'pve.guest-absent',
  ],
  ['start twice', 'start', died('CT 110 already running'), 'refused', 'pve.already-running'],
  ['stop stopped', 'stop', died('CT 110 not running'), 'refused', 'pve.not-running'],
  ['locked', 'configure', died('CT is locked (backup)'), 'refused', 'pve.guest-locked'],
  [
    'flock',
    'configure',
    died("can't lock file '/run/lock/lxc/pve-config-9.lock' - got timeout"),
    'refused',
    'pve.config-busy',
  ],
  [
    'storage lock in the middle of an allocation',
    'configure',
    died("cfs-lock 'storage-x' error: got lock request timeout"),
    'unknown',
    'pve.busy',
  ],
  [
    'digest',
    'configure',
    died('detected modified configuration - file changed by other user? Try again.'),
    'refused',
    'pve.digest-mismatch',
  ],
  ['protected', 'destroy', died("can't remove CT 101 - protection mode enabled"), 'refused', 'pve.protected'],
  [
    'running destroy',
    'destroy',
    died('unable to destroy CT 101 - container is running'),
    'refused',
    'pve.guest-running',
  ],
  ['same size', 'resize', died('disk is already at specified size'), 'refused', 'pve.size-already'],
  [
    'bridge missing is stored all the same',
    'configure',
    died("bridge 'vmbr9' does not exist"),
    'unknown',
    'pve.bridge-absent',
  ],
  ['unknown storage at a restore', 'restore', died("storage 'nosuch' does not exist"), 'refused', 'pve.storage-absent'],
  [
    'unknown storage at a config change',
    'configure',
    died("storage 'nosuch' does not exist"),
    'unknown',
    'pve.storage-absent',
  ],
  ['unknown text of a write', 'configure', died('something new'), 'unknown', 'pve.unclassified'],
  ['unknown text of a read', 'read', died('something new'), 'unknown', 'pve.unclassified'],
  ['fork that died', 'resize', died('got no worker upid - start worker failed'), 'unknown', 'pve.worker-failed'],
  [
    'text only in the reason phrase (before 8.3)',
    'restore',
    bare(500, "CT 100 already exists on node 'pve1'", 'text/plain'),
    'refused',
    'pve.vmid-taken',
  ],
  [
    'bad value',
    'configure',
    parameter('memory', 'value must have a minimum value of 16'),
    'refused',
    'pve.invalid-parameter',
  ],
  [
    'parameter of a newer version',
    'restore',
    parameter('env', 'property is not defined in schema and the schema does not allow additional properties'),
    'refused',
    'pve.unknown-parameter',
  ],
  [
    'hotplug may have half happened',
    'configure',
    parameter('net0', "unable to hotplug net0: bridge 'vmbr9' does not exist\n"),
    'unknown',
    'pve.hotplug-failed',
  ],
  [
    'allocation in a config change',
    'configure',
    parameter('mp4', 'unable to apply pending change mp4 : unable to create image'),
    'unknown',
    'pve.apply-failed',
  ],
  [
    'a name that Proxmox keeps for itself',
    'snapshot',
    died("unable to use snapshot name 'current' (reserved name)"),
    'refused',
    'pve.invalid-parameter',
  ],
  ['protecting what is no backup', 'protect', died('only backups can have notes'), 'refused', 'pve.invalid-parameter'],
  [
    'notes with a variable',
    'backup',
    parameter('notes-template', "found unknown: variable 'bogus' at char 4\n"),
    'refused',
    'pve.invalid-parameter',
  ],
  [
    'a protected owner at a hand-over: the volume is renamed by then',
    'reassign',
    died("can't update CT 9001 drive 'mp1' - protection mode enabled"),
    'unknown',
    'pve.protected',
  ],
  [
    'a protected guest at a change',
    'configure',
    died("can't update CT 9001 drive 'mp1' - protection mode enabled"),
    'refused',
    'pve.protected',
  ],
  ['a hand-over that says something new', 'reassign', died('something new'), 'unknown', 'pve.unclassified'],
  ['a backup whose worker did not begin', 'backup', died('got no worker upid'), 'unknown', 'pve.worker-failed'],
  [
    'a storage that is away at a protection',
    'protect',
    died("storage 'b' is not online"),
    'unknown',
    'pve.storage-offline',
  ],
  ['a rollback of a locked guest', 'rollback', died('CT is locked (backup)'), 'refused', 'pve.guest-locked'],
  ['a rollback that is not answered', 'rollback', bare(596, 'Connection timed out'), 'unknown', 'pve.timeout'],
  ['fresh or lost task', 'read', parameter('upid', 'no such task'), 'refused', 'pve.task-absent'],
  ['token', 'restore', bare(401, 'Authentication failed!'), 'refused', 'pve.unauthorized'],
  [
    'privilege',
    'restore',
    json(403, { data: null, message: 'Permission check failed (/vms/9, VM.Allocate)\n' }),
    'refused',
    'pve.forbidden',
  ],
  [
    'root only',
    'configure',
    json(403, {
      data: null,
      message: 'Permission check failed (changing the hookscript is only allowed for root@pam)\n',
    }),
    'refused',
    'pve.root-only',
  ],
  [
    'pool',
    'restore',
    json(403, { data: null, message: "Permission check failed (pool 'nosuch' does not exist)\n" }),
    'refused',
    'pve.pool-absent',
  ],
  [
    'no such call',
    'configure',
    json(501, { data: null, message: "Method 'GET /bogus' not implemented\n" }),
    'refused',
    'pve.not-implemented',
  ],
  ['body too large', 'restore', bare(501, 'for data too large'), 'refused', 'pve.protocol'],
  [
    'content type',
    'configure',
    bare(506, "upload 'Content-Type 'text/plain' not implemented"),
    'refused',
    'pve.protocol',
  ],
  ['node unreachable', 'restore', bare(595, 'Connection refused'), 'unknown', 'pve.node-unreachable'],
  ['30 s passed', 'configure', bare(596, 'Connection timed out'), 'unknown', 'pve.timeout'],
  ['proxy', 'configure', bare(599, 'Too many redirections'), 'unknown', 'pve.proxy-failed'],
  [
    'another proxy',
    'configure',
    bare(503, 'Service Unavailable', 'text/html', '<html>'),
    'unknown',
    'pve.proxy-failed',
  ],
  ['a web page', 'read', bare(200, 'OK', 'text/html', '<html>'), 'unknown', 'pve.not-proxmox'],
  ['a redirect', 'read', bare(301, 'Moved Permanently'), 'unknown', 'pve.not-proxmox'],
  ['cut off', 'restore', bare(200, 'OK', 'application/json', '{"data":"UPID:pv'), 'unknown', 'pve.unreadable-answer'],
  [
    'a bomb of brackets',
    'read',
    bare(200, 'OK', 'application/json', `{"data":${'['.repeat(100)}${']'.repeat(100)}}`),
    'unknown',
    'pve.unreadable-answer',
  ],
  [
    'refused connection: waits instead of unwinding',
    'start',
    { is: 'failed', failure: { is: 'not-sent', code: 'ECONNREFUSED', text: 'no connection' } },
    'unknown',
    'pve.unreachable',
  ],
  [
    'broken connection',
    'start',
    { is: 'failed', failure: { is: 'lost', code: 'ECONNRESET', text: 'broke' } },
    'unknown',
    'pve.connection-lost',
  ],
  [
    'pin',
    'read',
    { is: 'failed', failure: { is: 'untrusted', why: 'pin-mismatch', text: 'other key' } },
    'refused',
    'pve.pin-mismatch',
  ],
  [
    'too large',
    'read',
    { is: 'failed', failure: { is: 'too-large', limitBytes: 5 } },
    'unknown',
    'pve.answer-too-large',
  ],
];

test('every kind of answer has one class', async (t) => {
  for (const [name, kind, raw, is, code] of rows)
    await t.test(name, () => {
      const found = classify({ what: 'do it', kind }, raw);
      assert.notEqual(found.is, 'ok');
      if (found.is === 'ok') return;
      assert.deepEqual([found.is, found.why.code], [is, code]);
      assert.match(found.why.text, /^cannot do it: \S/);
    });
});

test('a text never shows where in the Perl source it was born', () => {
  const found = classify({ what: 'do it', kind: 'read' }, died('oops at /usr/share/perl5/PVE/Storage.pm line 651.'));
  assert.equal(found.is === 'ok' ? '' : found.why.text, 'cannot do it: oops');
});

test('data and total come through', () => {
  const found = classify({ what: 'list', kind: 'read' }, json(200, { data: [1], total: 7 }));
  assert.deepEqual(found, { is: 'ok', data: [1], total: 7 });
});

interface Recorded {
  readonly method?: string;
  readonly path?: string;
  readonly status?: number;
  readonly reason?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

const recordings = process.env['FELHOM_PVE_EXCHANGES'] ?? '../shared/pve/exchanges';

/** The kind of write that a recorded call is. */
function kindOf(call: Recorded): 'read' | WriteKind {
  const route = `${call.method} ${(call.path ?? '').split('?')[0]}`;
  const kinds: [RegExp, WriteKind][] = [
    [/^POST \/nodes\/[^/]+\/lxc$/, 'restore'],
    [/^PUT .*\/lxc\/\d+\/config$/, 'configure'],
    [/^PUT .*\/lxc\/\d+\/resize$/, 'resize'],
    [/^POST .*\/status\/start$/, 'start'],
    [/^POST .*\/status\/shutdown$/, 'shutdown'],
    [/^POST .*\/status\/stop$/, 'stop'],
    [/^DELETE .*\/lxc\/\d+$/, 'destroy'],
    [/^DELETE .*\/tasks\//, 'abort-task'],
    [/^POST .*\/vzdump$/, 'backup'],
    [/^PUT .*\/storage\/[^/]+\/content\//, 'protect'],
    [/^DELETE .*\/storage\/[^/]+\/content\//, 'delete-backup'],
    [/^POST .*\/snapshot$/, 'snapshot'],
    [/^DELETE .*\/snapshot\/[^/]+$/, 'drop-snapshot'],
    [/^POST .*\/rollback$/, 'rollback'],
    [/^POST .*\/move_volume$/, 'reassign'],
  ];
  if (call.method === 'GET') return 'read';
  return kinds.find(([pattern]) => pattern.test(route))?.[1] ?? 'other';
}

const beginsAtOnce: ReadonlySet<string> = new Set<WriteKind>([
  'backup',
  'protect',
  'delete-backup',
  'snapshot',
  'drop-snapshot',
  'rollback',
  'reassign',
]);

test(
  'every recorded error of a real node has a class',
  { skip: existsSync(recordings) ? false : `no recordings in ${recordings}` },
  () => {
    let errors = 0;
    const protective = new Set<string>();
    for (const file of readdirSync(recordings).filter((name) => name.endsWith('.json')))
      for (const call of JSON.parse(readFileSync(join(recordings, file), 'utf8')) as Recorded[]) {
        if (call.status === undefined || call.method === undefined) continue;
        const facts = { what: `${call.method} ${call.path ?? ''}`, kind: kindOf(call) };
        const raw = bare(
          call.status,
          call.reason ?? '',
          call.headers?.['content-type'],
          typeof call.body === 'string' ? call.body : JSON.stringify(call.body),
        );
        const found = classify(facts, raw);
        if (call.status < 400) continue;
        errors += 1;
        assert.notEqual(found.is, 'ok', `${file} ${facts.what}`);
        if (found.is !== 'ok') assert.notEqual(found.why.code, 'pve.unclassified', `${file} ${found.why.text}`);
        // Whatever these were refused with before their worker began was seen to have changed nothing.
        if (beginsAtOnce.has(facts.kind)) {
          assert.equal(found.is, 'refused', `${file} ${facts.what}`);
          protective.add(facts.kind);
        }
      }
    assert.ok(errors > 200, `only ${errors} errors found`);
    // No recording refuses any of the others before its task.
    assert.deepEqual(protective, new Set(['snapshot', 'backup', 'protect']));
  },
);
