/** The tunnel by a signed job: whose envelope root believes, what comes into force, and what a crash leaves. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { digestOfTunnel, payloadOf, tunnelDeclaration, writeEnvelope } from '@felhom/protocol';
import type { CanonicalValue, HostId } from '@felhom/protocol';
import { createSshKeygenVerifier } from '../../adapters/ssh-keygen/index.ts';
import { createTrustFile } from '../../adapters/trust-file/index.ts';
import { createDeclaredIngress } from '../../adapters/tunnel/index.ts';
import { writeTrustText } from '../../trust/index.ts';
import { alice, bob, day, makeDocument, mallory, now } from '../../trust/test/people.ts';
import { consumedJobsIn } from '../consumed-jobs.ts';
import { applyTunnel } from './apply.ts';
import { tunnelUnit } from './unit.ts';

const never = new AbortController().signal;
const minute = 60_000;
const ingressTo = (address: string) =>
  tunnelDeclaration.parse({
    tunnel: 'dfed0ead-79e1-41cf-82b8-88ca8148a577',
    ingress: [{ hostname: 'photos.example.org', service: `http://${address}:80` }, { service: 'http_status:404' }],
  });
const first = ingressTo('192.168.1.50');
const second = ingressTo('192.168.1.51');

type Person = { sign(payload: Uint8Array): string };
let made = 0;
function signed(params: object, people: readonly Person[] = [alice], change: object = {}): string {
  made += 1;
  const payload = payloadOf(
    JSON.parse(
      JSON.stringify({
        v: 1,
        jobId: String.fromCharCode(97 + (made % 26)).repeat(26),
        host: 'box-1',
        hostEpoch: '0'.repeat(32),
        challenge: `1.${'0'.repeat(32)}`,
        nonce: '1'.repeat(32),
        issuedAt: now - minute,
        notBefore: now - minute,
        expiresAt: now + 30 * minute,
        kind: 'tunnel-change',
        params,
        ...change,
      }),
    ) as CanonicalValue,
  );
  return writeEnvelope(
    payload,
    people.map((person) => person.sign(payload)),
  );
}
const toFirst = (): string => signed({ declaration: first });
const toSecond = (): string => signed({ before: digestOfTunnel(first), declaration: second });

function setUp(t: TestContext, trust: object = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-tunnel-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'etc'));
  const trustFile = join(folder, 'trust.json');
  writeFileSync(trustFile, writeTrustText(makeDocument(trust)), { mode: 0o644 });
  const at = (name: string): string => join(folder, name);
  const places = {
    rules: at('etc/tunnel-rules.json'),
    config: at('etc/tunnel.yml'),
    guests: at('etc/tunnel-guests.nft'),
    dropIn: at('units/felhom.d/felhom-reach.conf'),
    pending: at('state/tunnel-before.json'),
    draft: at('run/draft.yml'),
  };
  const host = {
    unit: {
      ActiveState: 'active',
      SubState: 'running',
      UnitFileState: 'enabled',
      ConditionResult: 'yes',
      Result: 'success',
    },
    run: 1,
    ran: [] as string[],
    /** Of what it is told, whether it comes up with it. */
    comesUp: (config: string): boolean => config !== '',
    /** The call of systemctl at which root's program is killed. */
    killedAt: 0,
    calls: 0,
    /** False: its conditions do not hold. */
    begins: true,
    validates: '' as string | undefined,
    bad: undefined as string | undefined,
    nameServers: ['192.168.1.1'],
  };
  const systemctl = async (args: readonly string[]) => {
    host.calls += 1;
    if (host.calls === host.killedAt) throw new Error('killed');
    if (args[0] === 'show')
      return {
        code: 0,
        stdout: [...Object.entries(host.unit), ['InvocationID', String(host.run)]]
          .map(([key, value]) => `${key}=${value}\n`)
          .join(''),
        stderr: '',
      };
    host.ran.push(args.join(' '));
    if (args.includes('restart') && host.begins) {
      host.run += 1;
      const up = host.comesUp(existsSync(places.config) ? readFileSync(places.config, 'utf8') : '');
      Object.assign(
        host.unit,
        up
          ? { ActiveState: 'active', SubState: 'running' }
          : { ActiveState: 'activating', SubState: 'auto-restart', Result: 'exit-code' },
      );
    }
    return { code: 0, stdout: '', stderr: '' };
  };
  const tunnel = {
    places,
    systemctl,
    nft: () => Promise.reject(new Error('not here')),
    cloudflared: () =>
      host.validates === undefined
        ? undefined
        : async (args: readonly string[]) => {
            host.ran.push(`cloudflared ${args.join(' ').replace(folder, '')}`);
            return { code: host.validates === '' ? 0 : 1, stdout: '', stderr: host.validates ?? '' };
          },
    sleep: async () => {},
    facts: () =>
      host.bad === undefined
        ? {
            own: ['192.168.1.2'],
            guests: new Set(['192.168.1.50', '192.168.1.51']),
            nameServers: host.nameServers,
          }
        : { bad: host.bad },
  };
  const consumed = consumedJobsIn(at('state/consumed'));
  const apply = (envelope: string, when = now) =>
    applyTunnel(
      {
        tunnel,
        trust: createTrustFile(trustFile, { ownerUids: [process.getuid?.() ?? 0] }),
        verifier: createSshKeygenVerifier({ directory: at('verify') }),
        consumed,
        host: 'box-1' as HostId,
        now: () => when,
      },
      envelope,
      never,
    );
  const read = (name: keyof typeof places): string | undefined =>
    existsSync(places[name]) ? readFileSync(places[name], 'utf8') : undefined;
  const files = () => [read('rules'), read('config'), read('guests'), read('dropIn')];
  const led = (): string | undefined => /define guests = \{ (.*) \. 80 \}/.exec(read('guests') ?? '')?.[1];
  return { host, apply, read, files, led, places, folder, consumed };
}

test('it comes into force, whole, and the agent reads the same rules', async (t) => {
  const { apply, host, read, led, places } = setUp(t);
  assert.deepEqual(await apply(toFirst()), { is: 'done' });
  assert.equal(led(), '192.168.1.50');
  assert.match(read('dropIn') ?? '', /IPAddressAllow=192\.168\.1\.1\nIPAddressAllow=192\.168\.1\.50\n/);
  const told = await createDeclaredIngress(places.config)();
  assert.deepEqual(told, {
    is: 'done',
    value: [
      { hostname: 'photos.example.org', path: '', service: 'http://192.168.1.50:80' },
      { hostname: '', path: '', service: 'http_status:404' },
    ],
  });
  assert.deepEqual(host.ran, [
    'cloudflared tunnel --config /run/draft.yml ingress validate',
    'daemon-reload',
    `reset-failed -- ${tunnelUnit}`,
    `--no-block restart -- ${tunnelUnit}`,
  ]);
  assert.deepEqual(await apply(toSecond()), { is: 'done' });
  assert.equal(led(), '192.168.1.51');
  assert.equal(read('pending'), undefined);
});

test('the same again, and one that says what is in force: nothing is restarted', async (t) => {
  const { apply, host } = setUp(t);
  const envelope = toFirst();
  await apply(envelope);
  host.ran = [];
  assert.deepEqual(await apply(envelope), { is: 'done' });
  assert.deepEqual(await apply(toFirst()), { is: 'done' });
  assert.deepEqual(host.ran, []);
});

test('the same rules under other name servers of the host are written anew', async (t) => {
  const { apply, host, read } = setUp(t);
  await apply(toFirst());
  host.nameServers = ['192.168.1.3'];
  assert.deepEqual(await apply(signed({ before: digestOfTunnel(first), declaration: first })), { is: 'done' });
  assert.match(read('dropIn') ?? '', /IPAddressAllow=192\.168\.1\.3\n/);
  assert.doesNotMatch(read('dropIn') ?? '', /192\.168\.1\.1\n/);
});

test('the way back is another signed job; the one that was used is not', async (t) => {
  const { apply, led } = setUp(t);
  const there = toFirst();
  await apply(there);
  await apply(toSecond());
  const again = await apply(there);
  assert.ok(again.is === 'refused');
  assert.match(again.text, /used already/);
  assert.equal(led(), '192.168.1.51');
});

const refusals: readonly [name: string, envelope: () => string, says: RegExp, at?: number][] = [
  ['nobody’s signature', () => signed({ declaration: first }, []), /signature|signed|nobody/],
  ['a stranger', () => signed({ declaration: first }, [mallory]), /./],
  ['no envelope', () => '{}', /./],
  ['another kind', () => signed({ scope: 'host', set: true }, [alice], { kind: 'hold' }), /kind hold/],
  ['another host', () => signed({ declaration: first }, [alice], { host: 'box-2' }), /for host box-2/],
  ['too early', () => signed({ declaration: first }, [alice], { notBefore: now + 1 }), /not valid yet/],
  ['too late', toFirst, /expired/, now + 31 * minute],
  ['long signed', () => signed({ declaration: first }, [alice], { issuedAt: now - 2 * day }), /expired/],
  ['other rules in force', toSecond, /not those that it was signed against/],
  ['the host itself', () => signed({ declaration: ingressTo('192.168.1.2') }), /address of this host/],
  ['a machine of the LAN', () => signed({ declaration: ingressTo('192.168.1.9') }), /of no guest/],
];
for (const [name, envelope, says, at] of refusals)
  test(`refused, and nothing is touched: ${name}`, async (t) => {
    const { apply, host, folder } = setUp(t);
    const answer = await apply(envelope(), at);
    assert.ok(answer.is === 'refused', answer.is);
    assert.match(answer.text, says);
    assert.deepEqual(host.ran, []);
    assert.deepEqual(readdirSync(join(folder, 'etc')), []);
  });

test('as many people as disclosing takes, each once', async (t) => {
  const { thresholds } = makeDocument();
  const { apply } = setUp(t, { thresholds: { ...thresholds, disclose: 2 } });
  for (const people of [[alice], [alice, alice]]) {
    const answer = await apply(signed({ declaration: first }, people));
    assert.ok(answer.is === 'refused');
    assert.match(answer.text, /2 people have to sign/);
  }
  assert.deepEqual(await apply(signed({ declaration: first }, [alice, bob])), { is: 'done' });
});

test('under trust that has expired, or is for another host, nothing', async (t) => {
  for (const [trust, says] of [
    [{ expiresAt: now - 1 }, /expired/],
    [{ host: 'box-2' }, /for host box-1/],
  ] as const) {
    const answer = await setUp(t, trust).apply(toFirst());
    assert.ok(answer.is === 'refused');
    assert.match(answer.text, says);
  }
});

test('cloudflared’s own word counts where it is there', async (t) => {
  const { apply, host, files } = setUp(t);
  host.validates = 'Validation failed: rule #2';
  const answer = await apply(toFirst());
  assert.ok(answer.is === 'refused');
  assert.match(answer.text, /cloudflared does not take it: Validation failed/);
  assert.deepEqual(files(), [undefined, undefined, undefined, undefined]);
  host.validates = undefined;
  assert.deepEqual(await apply(toFirst()), { is: 'done' });
});

test('without the policy nothing is known of guests: later', async (t) => {
  const { apply, host } = setUp(t);
  host.bad = 'the policy does not read';
  assert.equal((await apply(toFirst())).is, 'busy');
});

test('where it does not come up the earlier rules are back, and the job can be given again', async (t) => {
  const { apply, host, files, read } = setUp(t);
  await apply(toFirst());
  const before = files();
  host.comesUp = (config) => config.includes('192.168.1.50');
  const envelope = toSecond();
  const answer = await apply(envelope);
  assert.ok(answer.is === 'refused');
  assert.match(answer.text, /did not come up \(it ended: exit-code\); the earlier rules are back/);
  assert.deepEqual(files(), before);
  assert.equal(read('pending'), undefined);
  assert.equal(host.unit.ActiveState, 'active');
  host.comesUp = () => true;
  assert.deepEqual(await apply(envelope), { is: 'done' });
});

test('a hand-written configuration is kept where the first signed one does not come up', async (t) => {
  const { apply, host, files, places } = setUp(t);
  writeFileSync(places.config, 'tunnel: t\ningress: [{ service: http_status:404 }]\n', { mode: 0o600 });
  writeFileSync(places.guests, 'define guests = { 192.168.1.77 . 80 }\n', { mode: 0o644 });
  const before = files();
  host.comesUp = (config) => config.startsWith('tunnel: t');
  assert.equal((await apply(toFirst())).is, 'refused');
  assert.deepEqual(files(), before);
});

test('one that hangs on the way up counts as down', async (t) => {
  const { apply, host, files } = setUp(t);
  host.comesUp = () => false;
  Object.assign(host.unit, { ActiveState: 'active' });
  const hangs = await apply(toFirst());
  assert.ok(hangs.is === 'refused');
  assert.deepEqual(files(), [undefined, undefined, undefined, undefined]);
});

const states: readonly [name: string, unit: object, restarted: boolean][] = [
  ['stopped by a person', { ActiveState: 'inactive' }, false],
  ['disabled', { ActiveState: 'inactive', UnitFileState: 'disabled', ConditionResult: 'no' }, false],
  ['enabled, and its files were missing', { ActiveState: 'inactive', ConditionResult: 'no' }, true],
  ['failed', { ActiveState: 'failed' }, true],
];
for (const [name, unit, restarted] of states)
  test(`a unit that is ${name} is ${restarted ? 'started' : 'left as it is'}`, async (t) => {
    const { apply, host, led } = setUp(t);
    Object.assign(host.unit, unit);
    assert.deepEqual(await apply(toFirst()), { is: 'done' });
    assert.equal(host.run > 1, restarted);
    assert.equal(led(), '192.168.1.50');
  });

test('without its credentials it is not begun, and says so', async (t) => {
  const { apply, host, files } = setUp(t);
  Object.assign(host.unit, { ActiveState: 'inactive', SubState: 'dead', ConditionResult: 'no' });
  host.begins = false;
  const answer = await apply(toFirst());
  assert.ok(answer.is === 'refused');
  assert.match(answer.text, /are its credentials there/);
  assert.deepEqual(files(), [undefined, undefined, undefined, undefined]);
});

test('killed anywhere on the way: asked again, it is whole', async (t) => {
  let kills = 0;
  for (let at = 1; ; at += 1) {
    const { apply, host, led, read } = setUp(t);
    await apply(toFirst());
    host.calls = 0;
    host.killedAt = at;
    const envelope = toSecond();
    const died = await apply(envelope).then(
      () => false,
      () => true,
    );
    if (!died) break;
    kills += 1;
    host.killedAt = 0;
    assert.deepEqual(await apply(envelope), { is: 'done' }, `killed at call ${at}`);
    assert.equal(led(), '192.168.1.51');
    assert.equal(read('pending'), undefined);
    assert.equal(host.unit.ActiveState, 'active');
  }
  assert.ok(kills >= 5, `${kills} places`);
});

test('what a crash left is put back first, also when the next job is refused', async (t) => {
  const { apply, host, led, read } = setUp(t);
  await apply(toFirst());
  host.calls = 0;
  host.killedAt = 3;
  await assert.rejects(apply(toSecond()), /killed/);
  host.killedAt = 0;
  assert.equal(led(), '192.168.1.51', 'the files are new, and it was not restarted');
  const other = await apply(signed({ declaration: first }, [bob], { notBefore: now + 1 }));
  assert.deepEqual(other, { is: 'done' }, 'it says what is in force again');
  assert.equal(led(), '192.168.1.50');
  assert.equal(read('pending'), undefined);
});

test('files that others may write are not believed', async (t) => {
  const { apply, places } = setUp(t);
  await apply(toFirst());
  chmodSync(places.rules, 0o666);
  await assert.rejects(apply(toSecond()), /others may write it/);
});
