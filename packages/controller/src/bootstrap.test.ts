import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatClaim } from '@felhom/protocol';
import { firstUseMs, openSession, settleIdentity } from './bootstrap.ts';
import type { Session } from './bootstrap.ts';
import { obeyIdentity } from './identity.ts';
import { publicKeyOnly } from './adapters/host-keys.ts';
import { guestPaths } from './paths.ts';
import type { HostTrust, TransportRequest } from './ports.ts';
import { countingRandom, handClock } from './test/hand-clock.ts';
import { memoryFiles } from './test/memory-files.ts';

const tokenOf = (letter: string): string => `felhom1_${letter.repeat(43)}`;
const claimOf = (letter: string): string =>
  formatClaim({ secret: letter.repeat(43), address: '10.0.0.1:8470', spkiSha256: 'a'.repeat(64) });

type Answer = 'ok' | 'lost' | 409;
interface Asked {
  readonly address: string;
  readonly trust: HostTrust['is'];
  readonly claim: string | undefined;
  readonly request: TransportRequest;
}

function guest(answers: (asked: Asked) => Answer) {
  const clock = handClock();
  const files = memoryFiles();
  const random = countingRandom();
  const asked: Asked[] = [];
  let issued = 0;
  const needs = (env: { claim?: string; gateway?: string; identity?: string } = {}) => ({
    files,
    clock,
    random,
    hostKeys: publicKeyOnly(files, random),
    claim: env.claim,
    identity: env.identity,
    gateway: env.gateway,
    startedAt: clock.now(),
    say: () => undefined,
    connect: (address: string, trust: HostTrust) => ({
      send: async (request: TransportRequest) => {
        const { claim } = JSON.parse(request.body ?? '{}') as { claim?: string };
        const one = { address, trust: trust.is, claim, request };
        asked.push(one);
        const answer = answers(one);
        if (answer === 'lost') return { is: 'failed' as const, text: 'broke' };
        if (answer !== 'ok') return { is: 'answered' as const, status: answer, body: '{}' };
        issued += 1;
        const token = tokenOf(String.fromCharCode(64 + issued));
        const body = { token, guest: 'g', name: 'shop', ca: ['pem'], identity: 'fresh' };
        return { is: 'answered' as const, status: 200, body: JSON.stringify(body) };
      },
    }),
  });
  /** Opens, with time going on until it does or an hour has passed. */
  const open = async (given: ReturnType<typeof needs>, rejected?: string): Promise<Session | 'waits'> => {
    const stop = new AbortController();
    const seen: { session?: Session } = {};
    const going = openSession(given, rejected, stop.signal).then(
      (session) => (seen.session = session),
      () => undefined,
    );
    for (let minute = 0; minute < 60 && seen.session === undefined; minute += 1) await clock.advance(60_000);
    stop.abort();
    await going;
    return seen.session ?? 'waits';
  };
  return { clock, files, asked, needs, open };
}

describe('how a guest comes by its token', () => {
  it('by its claim, once, and keeps it', async () => {
    const { needs, open, asked, files } = guest(() => 'ok');
    const first = await open(needs({ claim: claimOf('x'), gateway: '10.0.0.9:1' }));
    assert.notEqual(first, 'waits');
    assert.deepEqual(await open(needs({ claim: claimOf('x'), gateway: '10.0.0.9:1' })), first);
    assert.deepEqual(
      asked.map(({ address, trust, claim }) => [address, trust, claim]),
      [['10.0.0.1:8470', 'pin', 'x'.repeat(43)]],
    );
    assert.equal(
      files.paths().some((path) => files.text(path)?.includes('x'.repeat(43)) === true),
      false,
      'the claim is on the disk',
    );
  });

  it('by the bridge port where no claim comes', async () => {
    const { needs, open, asked } = guest(() => 'ok');
    assert.notEqual(await open(needs({ gateway: '10.0.0.9:1' })), 'waits');
    assert.deepEqual(
      asked.map(({ address, trust, claim }) => [address, trust, claim]),
      [['10.0.0.9:1', 'first-use', undefined]],
    );
  });

  it('by the bridge port where the claim is worth nothing', async () => {
    const { needs, open, asked } = guest(({ claim }) => (claim === undefined ? 'ok' : 409));
    assert.notEqual(await open(needs({ claim: claimOf('x') })), 'waits');
    assert.deepEqual(
      asked.map(({ trust, claim }) => [trust, claim !== undefined]),
      [
        ['pin', true],
        ['pin', false],
      ],
    );
  });

  it('asks again with the same key when an answer got lost', async () => {
    const { needs, open, asked } = guest(() => (asked.length < 3 ? 'lost' : 'ok'));
    await open(needs({ claim: claimOf('x') }));
    const keys = asked
      .filter(({ claim }) => claim !== undefined)
      .map(({ request }) => request.headers['idempotency-key']);
    assert.ok(keys.length >= 2 && new Set(keys).size === 1, keys.join());
  });

  it('believes an unknown host for a while only', async () => {
    const { needs, open, asked, clock } = guest(() => 'lost');
    const startedAt = clock.now();
    assert.equal(await open(needs({ gateway: '10.0.0.9:1' })), 'waits');
    assert.ok(asked.length > 5);
    assert.ok(clock.now() - startedAt > 2 * firstUseMs);
    const before = asked.length;
    // The window is over: an hour more and nobody was asked.
    assert.equal(await open({ ...needs({ gateway: '10.0.0.9:1' }), startedAt }), 'waits');
    assert.equal(asked.length, before);
  });

  it('a new claim replaces an old token', async () => {
    const { needs, open, asked } = guest(() => 'ok');
    const first = await open(needs({ claim: claimOf('x') }));
    const second = await open(needs({ claim: claimOf('y') }));
    assert.notDeepEqual(second, first);
    assert.equal(asked.length, 2);
  });

  it('a new claim that is refused leaves the old token', async () => {
    const { needs, open } = guest(({ claim }) => (claim === 'x'.repeat(43) ? 'ok' : 409));
    const first = await open(needs({ claim: claimOf('x') }));
    assert.deepEqual(await open(needs({ claim: claimOf('y') })), first);
  });
});

describe('a token that the host does not take', () => {
  it('waits with growing pauses until the host authorises the guest anew', async () => {
    let authorised = false;
    const { needs, open, asked } = guest(({ claim }) => (claim !== undefined || authorised ? 'ok' : 409));
    const first = await open(needs({ claim: claimOf('x') }));
    assert.ok(first !== 'waits');
    assert.equal(await open(needs({ claim: claimOf('x'), gateway: '10.0.0.9:1' }), first.token), 'waits');
    const tries = asked.slice(1);
    assert.ok(tries.length > 30 && tries.length < 150, `${tries.length} tries in an hour`);
    assert.ok(
      tries.every(({ trust, address }) => trust === 'ca' && address === '10.0.0.1:8470'),
      'somebody else was believed',
    );
    authorised = true;
    const second = await open(needs({ claim: claimOf('x') }), first.token);
    assert.ok(second !== 'waits' && second.token !== first.token);
  });

  it('finds another host where its own is gone', async () => {
    const { needs, open } = guest(({ trust }) => (trust === 'ca' ? 'lost' : 'ok'));
    const first = await open(needs({ claim: claimOf('x') }));
    assert.ok(first !== 'waits');
    const second = await open(needs({ gateway: '10.0.0.9:1' }), first.token);
    assert.equal(second !== 'waits' && second.address, '10.0.0.9:1');
  });
});

describe('identity', () => {
  const used = () => {
    const made = guest(() => 'ok');
    made.files.put(guestPaths.machineId, `${'1'.repeat(32)}\n`);
    made.files.put('/etc/ssh/ssh_host_ed25519_key', 'private');
    made.files.put('/etc/ssh/ssh_host_ed25519_key.pub', 'public');
    return made;
  };
  const seen = ({ files }: ReturnType<typeof used>): string[] =>
    [guestPaths.machineId, '/etc/ssh/ssh_host_ed25519_key.pub'].map((path) => files.text(path) ?? '');
  const rows: readonly { directive: string; changes: boolean }[] = [
    { directive: 'fresh', changes: true },
    { directive: 'test', changes: true },
    { directive: 'continue', changes: false },
    { directive: 'none', changes: false },
    { directive: 'nonsense', changes: false },
  ];
  for (const { directive, changes } of rows)
    it(`${directive} ${changes ? 'makes' : 'keeps'} it, once`, async () => {
      const made = used();
      const before = seen(made);
      await settleIdentity(made.needs({ identity: directive, claim: claimOf('x') }));
      const after = seen(made);
      assert.deepEqual(
        after.map((text, at) => text !== before[at]),
        [changes, changes],
      );
      if (changes)
        assert.equal(made.files.text('/etc/ssh/ssh_host_ed25519_key'), undefined, 'the old private key stayed');
      await settleIdentity(made.needs({ identity: directive, claim: claimOf('x') }));
      assert.deepEqual(seen(made), after);
    });
  it('a copy of a guest that was fresh itself is made anew for its own claim', async () => {
    const made = used();
    await settleIdentity(made.needs({ identity: 'fresh', claim: claimOf('x') }));
    const first = seen(made);
    await settleIdentity(made.needs({ identity: 'fresh', claim: claimOf('y') }));
    assert.notDeepEqual(seen(made), first);
  });
  it('what is sealed is made without any directive', async () => {
    const made = guest(() => 'ok');
    made.files.put(guestPaths.machineId, '');
    await settleIdentity(made.needs());
    assert.match(seen(made)[0] ?? '', /^[0-9a-f]{32}\n$/);
    assert.match(seen(made)[1] ?? '', /^ssh-ed25519 /);
  });
  it('a machine-id that somebody else changed takes the host keys with it', async () => {
    const made = used();
    await obeyIdentity(made.needs(), 'none', '');
    const [, before] = seen(made);
    made.files.put(guestPaths.machineId, `${'2'.repeat(32)}\n`);
    await obeyIdentity(made.needs(), 'none', '');
    assert.notEqual(seen(made)[1], before);
    assert.equal(seen(made)[0], `${'2'.repeat(32)}\n`);
  });
});
