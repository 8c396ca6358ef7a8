import { test } from 'node:test';
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import {
  armourSshsig,
  digestOfTrust,
  ed25519Line,
  hostId,
  isSignedByHost,
  payloadOf,
  reason,
  signatureNamespaces,
  sshsigSignedData,
  trustDocument,
  writeEnvelope,
} from '@felhom/protocol';
import type { CanonicalValue, TrustDocument } from '@felhom/protocol';
import type { TrustStore } from '../ports/trust-store.ts';
import { unitNames, breakGlassSettings } from './break-glass-units.ts';
import { closeBreakGlass, openBreakGlass, showBreakGlass } from './break-glass.ts';
import type { OpenOptions } from './break-glass.ts';
import type { RootFiles } from './root-files.ts';

const now = Date.UTC(2026, 10, 26, 12);
const minute = 60_000;
const host = hostId.parse('h-rescue');
const signal = new AbortController().signal;

function person() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  return {
    key: ed25519Line(raw),
    sign: (message: Uint8Array): string =>
      armourSshsig(
        raw,
        signatureNamespaces.job,
        sign(null, sshsigSignedData(signatureNamespaces.job, message), privateKey),
      ),
  };
}
const [anna, bela] = [person(), person()];

function trustOf(over: Partial<TrustDocument> = {}): TrustDocument {
  const signer = (principal: string, key: string) => ({
    principal,
    key,
    signs: [signatureNamespaces.job],
    touch: false,
  });
  return trustDocument.parse({
    v: 1,
    host,
    version: 1,
    issuedAt: now - 86_400_000,
    expiresAt: now + 86_400_000,
    signers: [signer('anna', anna.key), signer('bela', bela.key)],
    revoked: [],
    thresholds: { destroy: 1, disclose: 1, deploy: 1, divert: 1, removal: 2, trust: 2 },
    loneOperator: false,
    floors: { keepDays: 7, keepWeeks: 4, backupEveryHours: 24, restoreTestEveryDays: 30, tiers: 1 },
    ...over,
  });
}

function trust(over: Partial<TrustDocument> = {}): TrustStore {
  const document = trustOf(over);
  return { read: () => ({ is: 'held', document, digest: digestOfTrust(document) }) };
}

interface Changes {
  readonly job?: Readonly<Record<string, CanonicalValue>>;
  readonly params?: Readonly<Record<string, CanonicalValue>>;
  readonly by?: readonly { sign(message: Uint8Array): string }[];
}

function envelope({ job = {}, params = {}, by = [anna] }: Changes = {}): string {
  const payload = payloadOf({
    v: 1,
    jobId: 'a'.repeat(26),
    host,
    hostEpoch: '0'.repeat(32),
    challenge: `1.${'0'.repeat(32)}`,
    nonce: '0'.repeat(32),
    issuedAt: now - minute,
    notBefore: now - minute,
    expiresAt: now + 30 * minute,
    kind: 'break-glass-open',
    params: { minutes: 20, key: anna.key, consents: [], ...params },
    ...job,
  });
  return writeEnvelope(
    payload,
    by.map((signer) => signer.sign(payload)),
  );
}

/** systemd and a disk, in memory. `failAt` lets the call of that number fail, of whichever of the two. */
class Machine {
  readonly active = new Set<string>();
  readonly disk = new Map<string, string>();
  readonly said: string[] = [];
  readonly consumed = new Map<string, number>();
  consumedAt = 0;
  failAt = 0;
  failFor = 1;
  calls = 0;
  onCall: (name: string) => void = () => {};

  #step(name: string): void {
    this.calls++;
    this.onCall(name);
    if (this.failAt > 0 && this.calls >= this.failAt && this.calls < this.failAt + this.failFor)
      throw new Error(`injected at ${name}`);
  }

  readonly systemctl: OpenOptions['systemctl'] = async (args) => {
    const name = args.join(' ');
    this.said.push(name);
    this.#step(name);
    const [verb, ...units] = args;
    if (verb === 'is-active')
      return {
        code: 0,
        stderr: '',
        stdout: `${units.map((unit) => (this.active.has(unit) ? 'active' : 'inactive')).join('\n')}\n`,
      };
    for (const unit of units) {
      if (verb === 'start' && !this.disk.has(`/run/systemd/system/${unit}`))
        return { code: 5, stdout: '', stderr: `Unit ${unit} not found.` };
      if (verb === 'start') this.active.add(unit);
      if (verb === 'stop') this.active.delete(unit);
    }
    return { code: 0, stdout: '', stderr: '' };
  };

  readonly files: RootFiles = {
    makeDirectory: (path) => {
      this.#step(`mkdir ${path}`);
      assert.ok(!this.disk.has(path), `${path} is there already`);
      this.disk.set(path, '');
    },
    writeNew: (path, text) => {
      this.#step(`write ${path}`);
      assert.ok(!this.disk.has(path), `${path} is there already`);
      this.disk.set(path, text);
    },
    remove: (path) => {
      this.#step(`remove ${path}`);
      for (const held of this.disk.keys()) if (held === path || held.startsWith(`${path}/`)) this.disk.delete(held);
    },
    read: (path) => this.disk.get(path),
  };

  options(over: Partial<OpenOptions> = {}): OpenOptions {
    return {
      runDirectory: '/run/felhom-break-glass',
      unitDirectory: '/run/systemd/system',
      systemctl: this.systemctl,
      files: this.files,
      settings: breakGlassSettings.parse({
        v: 1,
        tunnel: {
          id: 'dfed0ead-79e1-41cf-82b8-88ca8148a577',
          hostname: 'rescue.example.org',
          credentialsFile: '/etc/felhom/break-glass-tunnel.json',
        },
      }),
      maxMinutes: 60,
      host,
      trust: trust(),
      verifier: {
        verify: async ({ payload, signature, principal, namespace }) =>
          isSignedByHost(principal === 'anna' ? anna.key : bela.key, namespace, payload, signature)
            ? { is: 'valid' }
            : { is: 'invalid', text: 'not by this key' },
      },
      consumed: {
        has: (id) => this.consumed.has(id),
        add: (id, at) => {
          this.#step('consume');
          this.consumedAt = this.calls;
          this.consumed.set(id, at);
        },
      },
      now,
      ...over,
    };
  }

  isClosed(): boolean {
    return ![unitNames.sshd, unitNames.tunnel].some((unit) => this.active.has(unit));
  }
}

test('opens: the timer first, then sshd, then the tunnel; and says until when', async () => {
  const machine = new Machine();
  assert.deepEqual(await openBreakGlass(machine.options(), envelope(), signal), { is: 'done' });
  assert.deepEqual(machine.said, [
    `is-active ${unitNames.tunnel} ${unitNames.sshd}`,
    `stop ${unitNames.tunnel}`,
    `stop ${unitNames.sshd}`,
    `is-active ${unitNames.tunnel} ${unitNames.sshd}`,
    `stop ${unitNames.timer}`,
    `reset-failed ${unitNames.tunnel} ${unitNames.sshd}`,
    'daemon-reload',
    'daemon-reload',
    `start ${unitNames.timer}`,
    `start ${unitNames.sshd}`,
    `start ${unitNames.tunnel}`,
  ]);
  assert.deepEqual(await showBreakGlass(machine.options()), { is: 'open', until: now + 20 * minute });
  assert.match(
    machine.disk.get('/run/felhom-break-glass/authorized_keys') ?? '',
    /^restrict,pty,expiry-time="20261126122000Z" ssh-ed25519 /,
  );
});

test('the same envelope never opens twice, closed in between or not', async () => {
  const machine = new Machine();
  await openBreakGlass(machine.options(), envelope(), signal);
  const again = await openBreakGlass(machine.options(), envelope(), signal);
  assert.equal(again.is, 'refused');
  assert.ok(!machine.isClosed(), 'a replay does not disturb what is open');
  await closeBreakGlass(machine.options());
  const later = await openBreakGlass(machine.options(), envelope(), signal);
  assert.match(later.is === 'refused' ? later.text : '', /was used already/);
  assert.ok(machine.isClosed());
});

test('another job does not open what is open', async () => {
  const machine = new Machine();
  await openBreakGlass(machine.options(), envelope(), signal);
  const second = await openBreakGlass(machine.options(), envelope({ job: { jobId: 'b'.repeat(26) } }), signal);
  assert.match(second.is === 'refused' ? second.text : '', /open already/);
  assert.ok(!machine.consumed.has('b'.repeat(26)), 'it may be used once the first is closed');
});

const refusals: readonly { name: string; given?: Changes; over?: Partial<OpenOptions>; text: RegExp }[] = [
  { name: 'break-glass is not set up', over: { settings: undefined }, text: /not set up/ },
  { name: 'nobody is trusted', over: { trust: { read: () => ({ is: 'none' }) } }, text: /trusts nobody/ },
  { name: 'no signature', given: { by: [] }, text: /no signature/ },
  { name: 'a stranger', given: { by: [person()] }, text: /not listed/ },
  {
    name: 'one person where two are needed',
    over: { trust: trust({ thresholds: { ...trustOf().thresholds, disclose: 2 } }) },
    text: /2 people .* 1 did/,
  },
  {
    name: 'one person signing twice',
    given: { by: [anna, anna] },
    over: { trust: trust({ thresholds: { ...trustOf().thresholds, disclose: 2 } }) },
    text: /2 people .* 1 did/,
  },
  { name: 'another host', given: { job: { host: 'h-other' } }, text: /for host h-other/ },
  {
    name: 'trust of another host',
    over: { trust: trust({ host: hostId.parse('h-other') }) },
    text: /this is h-rescue/,
  },
  { name: 'expired trust', over: { trust: trust({ expiresAt: now }) }, text: /trust document has expired/ },
  { name: 'not yet', given: { job: { notBefore: now + 1 } }, text: /not valid yet/ },
  { name: 'expired', given: { job: { expiresAt: now } }, text: /has expired/ },
  {
    name: 'signed long ago for long',
    given: { job: { issuedAt: now - 24 * 60 * minute, expiresAt: now + minute } },
    text: /has expired/,
  },
  { name: 'longer than the policy allows', given: { params: { minutes: 61 } }, text: /more than the 60/ },
  {
    name: 'another kind of job',
    given: { job: { kind: 'break-glass-close', params: {} } },
    text: /of kind break-glass-close/,
  },
  { name: 'an unknown field', given: { params: { port: 22 } }, text: /cannot read job/ },
  { name: 'a key with an option', given: { params: { key: `no-pty ${anna.key}` } }, text: /cannot read job/ },
  { name: 'two keys', given: { params: { key: `${anna.key}\n${bela.key}` } }, text: /cannot read job/ },
];

for (const { name, given, over, text } of refusals)
  test(`refused: ${name}`, async () => {
    const machine = new Machine();
    const answer = await openBreakGlass(machine.options(over), envelope(given), signal);
    assert.match(answer.is === 'refused' ? answer.text : answer.is, text);
    assert.equal(machine.calls, 0, 'nothing was touched, and the job may be used yet');
  });

test('without a trust document that reads, or a verifier that answers, it may work later', async () => {
  const why = reason('trust.unreadable', 'cannot read the trust document: damaged');
  for (const over of [
    { trust: { read: () => ({ is: 'unreadable', why }) as const } },
    { verifier: { verify: async () => ({ is: 'unknown', why }) as const } },
  ]) {
    const machine = new Machine();
    assert.deepEqual(await openBreakGlass(machine.options(over), envelope(), signal), { is: 'busy', text: why.text });
    assert.equal(machine.calls, 0);
  }
});

test('an envelope that does not read', async () => {
  const machine = new Machine();
  assert.equal((await openBreakGlass(machine.options(), 'no', signal)).is, 'refused');
});

/** How many calls a good opening makes: each of them fails once, and once with everything after it. */
async function callsOfOpening(): Promise<number> {
  const machine = new Machine();
  await openBreakGlass(machine.options(), envelope(), signal);
  return machine.calls;
}

test('whichever call fails, it is closed in the end, or known not to be and the timer runs', async () => {
  const count = await callsOfOpening();
  assert.ok(count > 15, String(count));
  for (let failAt = 1; failAt <= count; failAt++)
    for (const failFor of [1, 2, 1000]) {
      const machine = new Machine();
      Object.assign(machine, { failAt, failFor });
      const where = `call ${failAt} and ${failFor - 1} more`;
      const answer = await openBreakGlass(machine.options(), envelope(), signal).catch((error: unknown) => error);
      if ((answer as { is?: string }).is === 'done') {
        // Only what clears away before the opening may fail unheeded: there was nothing to clear away.
        assert.ok(failAt < machine.consumedAt, where);
        continue;
      }
      if (!machine.isClosed()) {
        assert.ok(machine.active.has(unitNames.timer), `${where}: something is open without a timer`);
        assert.equal((answer as { is?: string }).is, 'busy', where);
      }
      // Once systemd answers again, asking again closes it, and nothing is left.
      machine.failAt = 0;
      assert.deepEqual(await closeBreakGlass(machine.options()), { is: 'done' }, where);
      assert.ok(machine.isClosed(), where);
      assert.deepEqual([...machine.disk.keys()], [], where);
    }
});

test('systemctl that says no is believed', async () => {
  for (const verb of ['daemon-reload', ...Object.values(unitNames).map((unit) => `start ${unit}`)].slice(0, -1)) {
    const machine = new Machine();
    const systemctl: OpenOptions['systemctl'] = async (args) =>
      args.join(' ') === verb ? { code: 1, stdout: '', stderr: 'Job failed.' } : machine.systemctl(args);
    const answer = await openBreakGlass(machine.options({ systemctl }), envelope(), signal);
    assert.match(
      answer.is === 'refused' ? answer.text : answer.is,
      /ended with 1 \(Job failed\.\); it is closed again/,
    );
    assert.ok(machine.isClosed());
    assert.deepEqual([...machine.disk.keys()], []);
  }
});

test('closed by somebody while the tunnel connects: it does not stay open', async () => {
  const machine = new Machine();
  machine.onCall = (name) => {
    if (name === `start ${unitNames.tunnel}`) machine.disk.delete('/run/felhom-break-glass/open.json');
  };
  const answer = await openBreakGlass(machine.options(), envelope(), signal);
  assert.match(answer.is === 'refused' ? answer.text : answer.is, /closed while it was being opened/);
  assert.ok(machine.isClosed());
});

test('what a crash half-way left does not keep the next one from opening', async () => {
  const machine = new Machine();
  machine.disk.set('/run/felhom-break-glass', '');
  machine.disk.set('/run/felhom-break-glass/sshd_config', 'Port 22');
  machine.disk.set(`/run/systemd/system/${unitNames.sshd}`, 'ExecStart=/bin/sh');
  machine.active.add(unitNames.timer);
  assert.deepEqual(await openBreakGlass(machine.options(), envelope(), signal), { is: 'done' });
  assert.doesNotMatch(machine.disk.get('/run/felhom-break-glass/sshd_config') ?? '', /Port 22/);
  const [stopped, started] = ['stop', 'start'].map((verb) => machine.said.indexOf(`${verb} ${unitNames.timer}`));
  assert.ok((stopped ?? -1) >= 0 && (stopped ?? -1) < (started ?? -1), 'an old timer would close too early');
});

test('a unit that does not stop keeps its timer', async () => {
  const machine = new Machine();
  await openBreakGlass(machine.options(), envelope(), signal);
  const systemctl: OpenOptions['systemctl'] = async (args) =>
    args[0] === 'stop' && args[1] === unitNames.sshd ? { code: 1, stdout: '', stderr: '' } : machine.systemctl(args);
  const answer = await closeBreakGlass(machine.options({ systemctl }));
  assert.match(answer.is === 'busy' ? answer.text : answer.is, /did not stop; the timer tries again/);
  assert.ok(machine.active.has(unitNames.timer));
  assert.ok(machine.disk.has(`/run/systemd/system/${unitNames.close}`));
});

test('closing what is closed is done', async () => {
  const machine = new Machine();
  assert.deepEqual(await closeBreakGlass(machine.options()), { is: 'done' });
  assert.deepEqual(await closeBreakGlass(machine.options()), { is: 'done' });
});

const looks: readonly { name: string; stdout: string; file?: string; is: string }[] = [
  { name: 'both rest', stdout: 'inactive\ninactive\n', is: 'closed' },
  {
    name: 'both rest, a file is left',
    stdout: 'inactive\nfailed\n',
    file: '{"v":1,"jobId":"a","until":5,"by":[]}',
    is: 'closed',
  },
  { name: 'sshd alone runs', stdout: 'inactive\nactive\n', file: '{"v":1,"jobId":"a","until":5,"by":[]}', is: 'open' },
  {
    name: 'one is still going',
    stdout: 'deactivating\ninactive\n',
    file: '{"v":1,"jobId":"a","until":5,"by":[]}',
    is: 'open',
  },
  { name: 'running without a file', stdout: 'active\nactive\n', is: 'unclear' },
  { name: 'running with a file that does not read', stdout: 'active\nactive\n', file: '{', is: 'unclear' },
  { name: 'an answer that cannot be read', stdout: 'Failed to connect to bus\n', is: 'unclear' },
];

for (const { name, stdout, file, is } of looks)
  test(`show: ${name}`, async () => {
    const machine = new Machine();
    if (file !== undefined) machine.disk.set('/run/felhom-break-glass/open.json', file);
    const systemctl: OpenOptions['systemctl'] = async () => ({ code: 3, stdout, stderr: '' });
    assert.equal((await showBreakGlass(machine.options({ systemctl }))).is, is);
  });

test('show: systemctl cannot be run', async () => {
  const systemctl: OpenOptions['systemctl'] = async () => Promise.reject(new Error('ENOENT'));
  assert.equal((await showBreakGlass(new Machine().options({ systemctl }))).is, 'unclear');
});
