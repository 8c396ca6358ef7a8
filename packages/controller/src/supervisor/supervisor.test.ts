import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, it } from 'node:test';
import { armourSshsig, canonicalJson, ed25519Line, sshsigSignedData } from '@felhom/protocol';
import type { Digest } from '@felhom/protocol';
import { createLocalClient } from '../client/client.ts';
import { guestPaths } from '../paths.ts';
import type { ImageOrder, Images } from '../ports.ts';
import { fakeHost } from '../test/fake-host.ts';
import { handClock } from '../test/hand-clock.ts';
import { memoryApps } from '../test/memory-apps.ts';
import { memoryFiles } from '../test/memory-files.ts';
import { createSupervisor } from './supervisor.ts';
import { judgeImage, parseReleaseSigners } from './verify-release.ts';
import type { ControllerImage } from './verify-release.ts';

const now = 1_800_000_000_000;
const digestOf = (letter: string): Digest => letter.repeat(64) as Digest;

function signer() {
  const keys = generateKeyPairSync('ed25519');
  const raw = keys.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  return {
    line: ed25519Line(raw),
    sign: (payload: Uint8Array, namespace = 'felhom-release@1') =>
      armourSshsig(raw, namespace, sign(null, sshsigSignedData(namespace, payload), keys.privateKey)),
  };
}
const [rita, carl, mallory] = [signer(), signer(), signer()];
const allowed = `# release keys\nrita namespaces="felhom-release@1" ${rita.line} rita@desk\ncarl ${carl.line}\n`;

interface Made {
  readonly version?: string;
  readonly says?: string;
  readonly digest?: Digest;
  readonly digests?: Digest[];
  readonly product?: 'agent' | 'controller';
  readonly minFrom?: string;
  readonly expiresAt?: number;
  readonly by?: readonly ReturnType<typeof signer>[];
  readonly namespace?: string;
}
function image(made: Made = {}): ControllerImage {
  const { version = '1.2.0', digest = digestOf('a') } = made;
  const manifest = {
    v: 1,
    product: made.product ?? 'controller',
    role: 'controller',
    version: made.says ?? version,
    digests: made.digests ?? [digest],
    ...(made.minFrom === undefined ? {} : { minFrom: made.minFrom }),
    issuedAt: now - 1000,
    expiresAt: made.expiresAt ?? now + 1_000_000,
    rollout: { salt: '0'.repeat(16), starts: [{ percent: 100, at: now - 1000 }] },
  };
  const payload = Buffer.from(canonicalJson(manifest));
  const signatures = (made.by ?? [rita]).map((one) => one.sign(payload, made.namespace));
  return { role: 'controller', version, digest, release: { payload: payload.toString('base64'), signatures } };
}

describe('which image may run', () => {
  const ran = { digest: digestOf('a'), version: '1.2.0' };
  const rows: readonly {
    name: string;
    image: ControllerImage;
    going?: 'on' | 'back';
    highest?: string;
    known?: readonly { digest: string; version: string }[];
    threshold?: string;
    want: 'may-run' | RegExp;
  }[] = [
    { name: 'the first one', image: image(), want: 'may-run' },
    { name: 'a higher version', image: image(), highest: '1.1.9', want: 'may-run' },
    { name: 'the same again', image: image(), highest: '1.2.0', known: [ran], want: 'may-run' },
    { name: 'a lower version', image: image(), highest: '1.10.0', want: /no way back by a new order/ },
    { name: 'a lower version that ran here', image: image(), highest: '1.3.0', known: [ran], want: /no way back/ },
    { name: 'back to what ran here', image: image(), going: 'back', highest: '1.3.0', known: [ran], want: 'may-run' },
    {
      name: 'back to what ran here and has expired',
      image: image({ expiresAt: now - 1 }),
      going: 'back',
      highest: '1.3.0',
      known: [ran],
      want: 'may-run',
    },
    { name: 'back to what never ran', image: image(), going: 'back', highest: '1.3.0', want: /never ran here/ },
    { name: 'nobody signed', image: image({ by: [] }), want: /0 of 1 signatures/ },
    { name: 'a stranger signed', image: image({ by: [mallory] }), want: /0 of 1 signatures/ },
    { name: 'signed for something else', image: image({ namespace: 'felhom-job@1' }), want: /0 of 1 signatures/ },
    {
      name: 'signed, and other bytes',
      image: { ...image(), release: { ...image().release, payload: image({ version: '1.2.1' }).release.payload } },
      want: /0 of 1 signatures/,
    },
    { name: 'one of two', image: image(), threshold: '2', want: /1 of 2 signatures/ },
    { name: 'the same one twice', image: image({ by: [rita, rita] }), threshold: '2', want: /1 of 2 signatures/ },
    { name: 'two of two', image: image({ by: [rita, carl] }), threshold: '2', want: 'may-run' },
    { name: 'an unknown digest', image: image({ digests: [digestOf('b')] }), want: /digest is not in its manifest/ },
    { name: 'another product', image: image({ product: 'agent' }), want: /for something else/ },
    { name: 'another version than it says', image: image({ says: '1.1.0' }), want: /for 1.1.0/ },
    { name: 'expired', image: image({ expiresAt: now - 1 }), want: /expired/ },
    {
      name: 'expired, and runs here',
      image: image({ expiresAt: now - 1 }),
      highest: '1.2.0',
      known: [ran],
      want: 'may-run',
    },
    { name: 'too far a step', image: image({ minFrom: '1.1.0' }), highest: '1.0.0', want: /from 1.1.0 on/ },
    {
      name: 'payload not base64',
      image: { ...image(), release: { ...image().release, payload: '!!!!' } },
      want: /base64/,
    },
  ];
  for (const { name, image: offered, going = 'on', highest, known = [], threshold, want } of rows)
    it(name, () => {
      const text = threshold === undefined ? allowed : `# threshold: ${threshold}\n${allowed}`;
      const verdict = judgeImage(offered, parseReleaseSigners(text), { going, highest, known, now });
      if (want === 'may-run') assert.deepEqual(verdict, { is: 'may-run' });
      else assert.match(verdict.is === 'refused' ? verdict.text : 'may run', want);
    });

  it('reads who may sign, and nobody else', () => {
    const job = `job namespaces="felhom-job@1" ${mallory.line}`;
    const { keys, threshold } = parseReleaseSigners(`${allowed}${job}\nnonsense\n\n`);
    assert.deepEqual([keys.map(({ principal }) => principal), threshold], [['rita', 'carl'], 1]);
  });
});

function guest() {
  const clock = handClock(now);
  const files = memoryFiles();
  const apps = memoryApps();
  const host = fakeHost(clock);
  files.put(guestPaths.releaseSigners, allowed);
  files.put(`${guestPaths.state}/db`, 'old');
  const runs: ImageOrder[] = [];
  let crash: (() => void) | undefined;
  const running = { digest: undefined as string | undefined };
  const images: Images = {
    run: (order) => {
      runs.push(order);
      running.digest = order.digest;
      let end: (value: { text: string }) => void = () => undefined;
      const ended = new Promise<{ text: string }>((resolve) => {
        end = (value) => {
          running.digest = undefined;
          resolve(value);
        };
      });
      crash = () => end({ text: 'exit 1' });
      return Promise.resolve({
        ended,
        health: () => Promise.resolve({ healthy: true, quiesced: false, text: '', stoppedStacks: [] }),
        stop: () => Promise.resolve(end({ text: 'stopped' })),
      });
    },
  };
  let stop = new AbortController();
  const start = (): void => {
    stop = new AbortController();
    const client = createLocalClient({ transport: host, clock, token: 'x' });
    createSupervisor({ client, files, apps, images, clock, say: () => undefined })
      .run(stop.signal)
      .catch(() => undefined);
  };
  const order = async (generation: number, wanted: ControllerImage | null, more: Partial<typeof host.desired> = {}) => {
    host.desired = { ...host.desired, generation, image: wanted, directive: 'run', ...more };
    await clock.advance(35_000);
  };
  return {
    clock,
    files,
    apps,
    host,
    runs,
    running,
    start,
    order,
    crash: () => crash?.(),
    restart: async () => {
      stop.abort();
      await clock.advance(1);
      start();
      await clock.advance(15_000);
    },
    last: () => host.statuses.at(-1),
  };
}
const [first, second] = [
  image({ version: '1.0.0', digest: digestOf('a') }),
  image({ version: '1.1.0', digest: digestOf('b') }),
];

describe('the supervisor', () => {
  it('copies the state before a new digest first runs, and brings it back with the old one, once', async () => {
    const { files, start, order, running, last, restart } = guest();
    start();
    await order(2, first, { stateOf: 2 });
    assert.equal(running.digest, digestOf('a'));
    files.put(`${guestPaths.state}/db`, 'of the first');
    await order(3, second, { stateOf: 3 });
    assert.equal(running.digest, digestOf('b'));
    assert.deepEqual(
      [last()?.digest, last()?.version, last()?.stateCopyOf, last()?.health],
      [digestOf('b'), '1.1.0', 3, 'healthy'],
    );
    files.put(`${guestPaths.state}/db`, 'spoilt by the second');
    await order(4, first, { directive: 'revert', stateOf: 3 });
    assert.equal(running.digest, digestOf('a'));
    assert.equal(files.text(`${guestPaths.state}/db`), 'of the first');
    files.put(`${guestPaths.state}/db`, 'written since');
    await restart();
    assert.equal(files.text(`${guestPaths.state}/db`), 'written since');
    assert.equal(running.digest, digestOf('a'));
    assert.deepEqual([last()?.generation, last()?.digest], [4, digestOf('a')]);
  });

  it('goes on with what ran when the new one may not', async () => {
    const { start, order, running, last } = guest();
    start();
    await order(2, second);
    await order(3, first);
    assert.equal(running.digest, digestOf('b'));
    assert.match(last()?.text ?? '', /no way back by a new order/);
    assert.equal(last()?.health, 'unhealthy');
    await order(4, image({ version: '1.2.0', digest: digestOf('c'), by: [mallory] }));
    assert.equal(running.digest, digestOf('b'));
  });

  it('does not go back without the copy that is asked for', async () => {
    const { start, order, last, files } = guest();
    start();
    await order(2, first, { stateOf: 2 });
    await order(3, second, { stateOf: 3 });
    files.put(`${guestPaths.state}/db`, 'kept');
    await order(4, first, { directive: 'revert', stateOf: 9 });
    assert.match(last()?.text ?? '', /no copy of its state/);
    assert.equal(files.text(`${guestPaths.state}/db`), 'kept');
  });

  it('starts a controller that ended again, with growing pauses', async () => {
    const { start, order, runs, crash, clock, last } = guest();
    start();
    await order(2, first);
    const before = runs.length;
    crash();
    await clock.advance(1_500);
    assert.equal(runs.length, before + 1);
    for (let round = 0; round < 20; round += 1) {
      crash();
      await clock.advance(10_000);
    }
    assert.ok(runs.length - before < 10, `started ${runs.length - before} times`);
    await clock.advance(300_000);
    assert.ok((last()?.restarts ?? 0) >= 4);
  });

  it('runs what ran last while the host is silent', async () => {
    const { start, order, restart, running, host } = guest();
    start();
    await order(2, first);
    host.override = () => 'lost';
    await restart();
    assert.equal(running.digest, digestOf('a'));
  });

  it('stops apps and controller when it is told to, and lets both go on', async () => {
    const { start, order, apps, running, last } = guest();
    start();
    await order(2, first);
    await order(3, first, { directive: 'stop' });
    assert.deepEqual([running.digest, apps.state, last()?.health], [undefined, 'standing', 'stopped']);
    await order(4, first);
    assert.deepEqual([running.digest, apps.state, last()?.health], [digestOf('a'), 'running', 'healthy']);
  });
});
