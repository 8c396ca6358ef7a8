import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { reason } from '@felhom/protocol';
import type { Clock, Documents, Outcome, StoredDocument } from '../kernel/index.ts';
import type { StorageEntry } from '../ports/proxmox.ts';
import type { Probe, SeenDevices } from '../ports/storage-devices.ts';
import { markText } from '../storage-manifest.ts';
import type { DeclaredTarget, ManifestRead } from '../storage-manifest.ts';
import { createProgress } from '../progress.ts';
import { createStorage } from './storage.ts';
import { disk, entry, mark, mountOf, usbTarget } from './test/target-bench.ts';

/** Time moves when the test says so. */
function handClock() {
  let now = 1_800_000_000_000;
  const waiting: { at: number; wake: () => void }[] = [];
  const clock: Clock = {
    now: () => now,
    monotonicMs: () => now,
    bootMs: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        signal.throwIfAborted();
        waiting.push({ at: now + ms, wake: resolve });
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      }),
  };
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    clock,
    settle,
    advance: async (ms: number): Promise<void> => {
      const end = now + ms;
      for (;;) {
        await settle();
        const [next] = waiting.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at);
        if (next === undefined) break;
        waiting.splice(waiting.indexOf(next), 1);
        now = Math.max(now, next.at);
        next.wake();
      }
      now = end;
      await settle();
    },
  };
}

function memoryDocuments(): Documents & { readonly kept: Map<string, StoredDocument> } {
  const kept = new Map<string, StoredDocument>();
  return {
    kept,
    get: (key) => kept.get(key),
    put: (document) => void kept.set(document.key, structuredClone(document)),
    remove: (key) => void kept.delete(key),
    list: (prefix) => [...kept.values()].filter(({ key }) => key.startsWith(prefix)),
  };
}

async function bench(t: TestContext, documents = memoryDocuments()) {
  const time = handClock();
  const { clock } = time;
  const world = {
    manifest: { is: 'held', manifest: { v: 1, targets: [usbTarget()] } } as ManifestRead,
    seen: { mounts: [mountOf()], disks: [disk()] } as SeenDevices,
    probe: (): Promise<Probe> =>
      Promise.resolve({ is: 'answers', mark: markText(mark), sizes: { usedBytes: 1, totalBytes: 2 } }),
    probes: 0,
    look: () => Promise.resolve(world.seen),
    entries: (): Outcome<readonly StorageEntry[]> => ({ is: 'done', value: [entry()] }),
    helped: [] as string[],
    help: (): Outcome<void> => ({ is: 'done', value: undefined }),
    onEvent: (): void => undefined,
    watched: 0,
    news: 0,
    used: new Set<string>(),
    mayMend: true,
    progress: createProgress(clock),
  };
  const help = (verb: string) => (_: string, name: string) => {
    world.helped.push(`${verb} ${name}`);
    return Promise.resolve(world.help());
  };
  const storage = createStorage({
    devices: {
      look: () => world.look(),
      watch: (onEvent) => {
        world.watched += 1;
        world.onEvent = onEvent;
      },
      probe: () => {
        world.probes += 1;
        return world.probe();
      },
    },
    manifest: () => world.manifest,
    helper: { mount: help('mount'), unmount: help('unmount'), storageDefine: help('define') },
    entries: { entries: () => Promise.resolve(world.entries()) },
    node: () => 'pve1',
    documents,
    clock,
    random: { bytes: (count) => new Uint8Array(count) },
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
    mayMend: () => world.mayMend,
    status: () => [{ lanes: [...world.used].map((name) => `storage:${name}`) } as never],
    changed: () => (world.news += 1),
    watch: () => world.progress.watch('storage'),
  });
  const stop = new AbortController();
  t.after(() => stop.abort());
  const atStart = storage.attachment('usb-backup');
  void storage.run(stop.signal);
  await time.advance(1_000);
  return { ...time, world, storage, documents, atStart, state: () => storage.report()[0]?.state };
}

const pull = (world: { seen: SeenDevices }): void => void (world.seen = { mounts: [], disks: [] });
const plugIn = (world: { seen: SeenDevices }, appearance: string): void => {
  const again = disk({ appearance });
  world.seen = { mounts: [mountOf({ disk: again })], disks: [again] };
};

test('a pulled disk is told in the very turn of the event, and taken up again by itself', async (t) => {
  const { world, storage, state, settle, advance, documents } = await bench(t);
  assert.equal(state(), 'attached');
  assert.equal(storage.away('usb-backup'), undefined);
  assert.deepEqual(storage.vitals(), [{ name: 'usb1', usedBytes: 1, totalBytes: 2 }]);
  const before = world.news;
  pull(world);
  world.onEvent();
  // No time has passed.
  await settle();
  assert.equal(state(), 'disconnected');
  assert.equal(world.news, before + 1);
  assert.equal(storage.away('usb-backup')?.code, 'storage.target-away');
  assert.equal(storage.findings()[0]?.key, 'storage.disconnected');
  assert.deepEqual(storage.vitals(), []);
  assert.equal(documents.kept.size, 1);
  await advance(60_000);
  plugIn(world, '8:17 2');
  world.onEvent();
  await settle();
  assert.equal(state(), 'attached');
  assert.equal(world.news, before + 2);
  assert.deepEqual(storage.findings(), []);
});

test('without an event the slow look sees it', async (t) => {
  const { world, state, advance } = await bench(t);
  pull(world);
  await advance(31_000);
  assert.equal(state(), 'disconnected');
});

test('a host without targets is not watched, asks nothing and writes nothing', async (t) => {
  const documents = memoryDocuments();
  const { world, advance, storage } = await bench(t, documents);
  world.manifest = { is: 'none' };
  await advance(31_000);
  assert.equal(documents.kept.size, 0);
  assert.deepEqual(storage.report(), []);
  const empty = await bench(t);
  empty.world.manifest = { is: 'none' };
  assert.equal(empty.world.watched, 1);
});

test('a disk that does not answer holds up neither the events nor anybody else', async (t) => {
  const { world, state, settle, advance, storage } = await bench(t);
  let answer: (found: Probe) => void = () => undefined;
  world.probe = () => new Promise((resolve) => (answer = resolve));
  world.used.add('usb-backup');
  await advance(61_000);
  assert.equal(state(), 'attached');
  const asked = world.probes;
  // The question is still open; an event is judged all the same.
  pull(world);
  world.onEvent();
  await settle();
  assert.equal(state(), 'disconnected');
  plugIn(world, '8:17 1');
  world.onEvent();
  await advance(100);
  answer({ is: 'hangs' });
  await settle();
  assert.equal(world.probes, asked);
  assert.equal(storage.findings()[0]?.key, 'storage.hung');
});

test('a question that never comes back is given up and not asked anew, and what comes at last counts', async (t) => {
  const { world, state, settle, advance, storage } = await bench(t);
  let answer: (found: Probe) => void = () => undefined;
  world.probe = () => new Promise((resolve) => (answer = resolve));
  const before = world.probes;
  const checked = storage.check('usb-backup');
  await advance(26_000);
  assert.match((await checked)?.text ?? '', /the disk does not answer/);
  assert.equal(storage.findings()[0]?.key, 'storage.hung');
  world.used.add('usb-backup');
  await advance(10 * 60_000);
  // Nobody waits for it a second time.
  assert.match((await storage.check('usb-backup'))?.text ?? '', /the disk does not answer/);
  plugIn(world, '8:17 2');
  world.onEvent();
  await settle();
  assert.equal(storage.findings()[0]?.key, 'storage.hung');
  assert.equal(world.probes, before + 1);
  world.probe = () => Promise.resolve({ is: 'answers', mark: markText(mark) });
  answer({ is: 'hangs' });
  await advance(31_000);
  assert.equal(state(), 'attached');
  assert.equal(world.probes, before + 2);
});

test('an agent that cannot look at mounts any more stands still, and everything else goes on', async (t) => {
  const { world, state, advance, storage, clock } = await bench(t);
  const still = (): number => {
    const [loop] = world.progress.loops();
    return clock.monotonicMs() - Math.max(loop?.movedAt ?? 0, loop?.restsUntil ?? 0);
  };
  await advance(60_000);
  assert.ok(still() <= 0, String(still()));
  let back: () => void = () => undefined;
  let looks = 0;
  world.look = () => {
    looks += 1;
    return new Promise((resolve) => (back = () => resolve(world.seen)));
  };
  world.probe = () => Promise.resolve({ is: 'hangs' });
  world.used.add('usb-backup');
  await advance(11 * 60_000);
  assert.ok(still() > 10 * 60_000, String(still()));
  assert.equal(looks, 1);
  assert.equal(state(), 'disconnected');
  assert.equal(storage.findings()[0]?.key, 'storage.hung');
  world.look = () => Promise.resolve(world.seen);
  back();
  await advance(31_000);
  assert.ok(still() <= 0, String(still()));
});

test('a sleeping disk is left alone; one in use, and one that guests boot from, is asked every minute', async (t) => {
  const { world, advance } = await bench(t);
  const first = world.probes;
  await advance(3_600_000);
  assert.equal(world.probes, first);
  world.used.add('usb-backup');
  await advance(10 * 60_000);
  assert.ok(world.probes - first >= 5 && world.probes - first <= 11, String(world.probes - first));
  world.used.clear();
  const declared = usbTarget();
  world.manifest = {
    is: 'held',
    manifest: { v: 1, targets: [{ ...declared, target: { ...declared.target, role: 'primary' } }] },
  };
  const second = world.probes;
  await advance(10 * 60_000);
  assert.ok(world.probes - second >= 5 && world.probes - second <= 11, String(world.probes - second));
});

test('a disk that is plugged in and not mounted: root is asked, again and again at growing intervals', async (t) => {
  const { world, advance, state, storage } = await bench(t);
  world.help = () => ({ is: 'refused', why: reason('helper.refused', 'no such unit') });
  world.seen = { mounts: [], disks: [disk()] };
  world.onEvent();
  await advance(10 * 60_000);
  assert.deepEqual(world.helped, ['mount usb1', 'mount usb1', 'mount usb1']);
  assert.match(storage.findings()[0]?.text ?? '', /not mounted; mending it failed: no such unit/);
  world.help = () => {
    plugIn(world, '8:17 2');
    return { is: 'done', value: undefined };
  };
  await advance(5 * 60_000);
  assert.equal(state(), 'attached');
  assert.equal(world.helped.length, 4);
});

test('a disk that is plugged in anew while root is still at the one before is mounted within seconds', async (t) => {
  const { world, advance, state } = await bench(t);
  let plugged = 2;
  world.help = () => {
    // Root mounted nothing, and by the time it says so there is another disk.
    plugged += 1;
    if (plugged < 6) world.seen = { mounts: [], disks: [disk({ appearance: `8:17 ${plugged}` })] };
    else plugIn(world, `8:17 ${plugged}`);
    return { is: 'done', value: undefined };
  };
  world.seen = { mounts: [], disks: [disk()] };
  world.onEvent();
  await advance(20_000);
  assert.equal(world.helped.length, 4);
  world.onEvent();
  await advance(3_000);
  assert.equal(state(), 'attached');
});

test('the entry of Proxmox is put right; on hold nothing is', async (t) => {
  const { world, advance, state, storage } = await bench(t);
  world.mayMend = false;
  world.entries = () => ({ is: 'done', value: [entry({ is_mountpoint: '0' })] });
  await advance(120_000);
  assert.equal(state(), 'disconnected');
  assert.equal(storage.findings()[0]?.key, 'storage.definition-differs');
  assert.deepEqual(world.helped, []);
  world.mayMend = true;
  world.help = () => {
    world.entries = () => ({ is: 'done', value: [entry()] });
    return { is: 'done', value: undefined };
  };
  await advance(60_000);
  assert.deepEqual(world.helped, ['define usb1']);
  assert.equal(state(), 'attached');
});

test('an entry that Proxmox prunes by is told with what it says, put right, and stops no work meanwhile', async (t) => {
  const { world, advance, state, storage } = await bench(t);
  world.mayMend = false;
  const before = storage.attachment('usb-backup');
  const news = world.news;
  world.entries = () => ({ is: 'done', value: [entry({ 'prune-backups': 'keep-last=3', content: 'iso,backup' })] });
  await advance(120_000);
  assert.equal(state(), 'attached');
  assert.equal(storage.attachment('usb-backup'), before);
  assert.equal(world.news, news + 1);
  const [finding] = storage.findings();
  assert.equal(finding?.key, 'storage.definition-drift');
  assert.match(
    finding?.text ?? '',
    /content is iso,backup and not backup; its prune-backups is keep-last=3 and not keep-all=1/,
  );
  world.mayMend = true;
  world.help = () => {
    world.entries = () => ({ is: 'done', value: [entry()] });
    return { is: 'done', value: undefined };
  };
  await advance(60_000);
  assert.deepEqual(world.helped, ['define usb1']);
  assert.deepEqual(storage.findings(), []);
});

test('what Proxmox cannot change is told apart, and root is not asked for it', async (t) => {
  const { world, advance, state, storage } = await bench(t);
  world.entries = () => ({ is: 'done', value: [entry({ path: '/srv/other' })] });
  await advance(20 * 60_000);
  assert.equal(state(), 'disconnected');
  assert.equal(storage.findings()[0]?.key, 'storage.definition-other');
  assert.match(storage.findings()[0]?.text ?? '', /its path is \/srv\/other and not/);
  assert.deepEqual(world.helped, []);
});

test('Proxmox away, or a manifest that does not read: what was known stays', async (t) => {
  const { world, advance, state, storage } = await bench(t);
  world.entries = () => ({ is: 'unknown', why: reason('pve.timeout', 'no answer') });
  world.manifest = { is: 'unreadable', why: reason('storage.manifest-unreadable', 'cannot use it') };
  await advance(120_000);
  assert.equal(state(), 'attached');
  assert.deepEqual(
    storage.findings().map(({ key }) => key),
    ['storage.manifest-unreadable'],
  );
});

test('since when survives a restart, and is known before the first look', async (t) => {
  const first = await bench(t);
  const attachment = first.storage.attachment('usb-backup');
  assert.match(attachment ?? '', /since/);
  assert.equal((await bench(t, first.documents)).atStart, attachment);
  pull(first.world);
  first.world.onEvent();
  await first.settle();
  const [told] = first.storage.report();
  const second = await bench(t, first.documents);
  assert.equal(second.storage.report()[0]?.state, 'attached');
  pull(second.world);
  const third = await bench(t, first.documents);
  pull(third.world);
  third.world.onEvent();
  await third.settle();
  assert.equal(told?.why, third.storage.report()[0]?.why);
});

test('work on a target ends when the target goes, also when it came back before anybody looked', async (t) => {
  const { world, storage, settle, advance } = await bench(t);
  const never = new AbortController().signal;
  const wait = (signal: AbortSignal): Promise<string> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true }));
  const work = storage.whileAttached('usb-backup', never, wait);
  plugIn(world, '8:17 2');
  world.onEvent();
  await settle();
  const ended = await work;
  assert.ok(ended.is === 'dropped' && ended.why.code === 'storage.target-away');
  pull(world);
  world.onEvent();
  await advance(100);
  const begun: string[] = [];
  const never2 = await storage.whileAttached('usb-backup', never, () => Promise.resolve(begun.push('begun')));
  assert.equal(never2.is, 'dropped');
  assert.deepEqual(begun, []);
  // Of a storage that is no target nothing is known, and nothing is in the way.
  assert.deepEqual(await storage.whileAttached('local', never, () => Promise.resolve('done')), {
    is: 'ended',
    value: 'done',
  });
  assert.equal(storage.attachment('local'), undefined);
});

test('asked before work, a target that hangs is found out then', async (t) => {
  const { world, storage } = await bench(t);
  assert.equal(await storage.check('usb-backup'), undefined);
  world.probe = () => Promise.resolve({ is: 'hangs' });
  assert.match((await storage.check('usb-backup'))?.text ?? '', /does not answer/);
});

test('the manifest joins the policy: targets, devices, what is slow, where guests may lie', async (t) => {
  const { storage, world, advance } = await bench(t);
  const bulk = usbTarget({ name: 'bulk1', storage: 'bulk-disk', role: 'bulk-data' });
  const old = usbTarget({ name: 'old', storage: 'old-disk' }, { state: 'decommissioned' });
  const targets: DeclaredTarget[] = [usbTarget(), bulk, old];
  world.manifest = { is: 'held', manifest: { v: 1, targets } };
  await advance(31_000);
  const policy = {
    storages: ['guests'],
    slowStorages: [],
    backups: {
      targets: {
        local: { storage: 'backup', class: 'fast', offsite: false },
        usb1: { storage: 'elsewhere', class: 'fast', offsite: true },
        old: { storage: 'old-disk', class: 'fast', offsite: false },
      },
    },
  };
  const joined = storage.policyWith(policy as never);
  assert.deepEqual(joined.storages, ['guests', 'bulk-disk']);
  assert.deepEqual(joined.slowStorages, ['usb-backup', 'bulk-disk']);
  assert.deepEqual(joined.backups.targets, {
    local: policy.backups.targets.local,
    usb1: {
      storage: 'usb-backup',
      class: 'slow',
      offsite: false,
      device: 'ext4:3f1c2a5e-9d1b-4a57-8a55-0c5a8e6d1f00',
    },
  });
});
