/** A guest's mounts on real file systems: loop devices, and a process in a mount namespace of its own; for who is root. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Vmid } from '@felhom/protocol';
import { madeUpNode } from '../../../test/made-up-node.ts';
import { createHostCommand } from '../../adapters/host-command/index.ts';
import { hostPolicy } from '../../host-policy.ts';
import { declaredUsb, noLoopDevices } from '../storage/test/storage-host.ts';
import { guestMounts } from './guest-mounts.ts';
import type { MountFacts } from './guest-mounts.ts';

function missing(): string | undefined {
  const loops = noLoopDevices();
  if (loops !== undefined) return loops;
  try {
    execFileSync('unshare', ['--mount', 'true'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'no mount namespaces';
  }
}

/** `undefined` after it has said why it cannot be. All of it is gone after the test. */
async function setUp(t: TestContext) {
  const why = missing();
  if (why !== undefined) {
    t.skip(`no real mounts: ${why}`);
    return undefined;
  }
  const root = mkdtempSync(join(tmpdir(), 'felhom-mounts-'));
  const undo: string[][] = [];
  const run = (program: string, ...args: string[]): string =>
    execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  t.after(() => {
    for (const [program = '', ...args] of undo.toReversed())
      try {
        run(program, ...args);
      } catch {
        // It is gone already.
      }
    rmSync(root, { recursive: true, force: true });
  });
  const loopOver = (image: string, megabytes: number): string => {
    writeFileSync(image, '');
    truncateSync(image, megabytes * 1024 * 1024);
    run('mkfs.ext4', '-q', image);
    const loop = run('losetup', '--find', '--show', image);
    undo.push(['losetup', '--detach', loop]);
    return loop;
  };
  const mount = (what: string, where: string, ...options: string[]): void => {
    mkdirSync(where, { recursive: true });
    run('mount', ...options, what, where);
    undo.push(['umount', '--lazy', where]);
  };
  const at = join(root, 'mnt/usb-1');
  const [photos, bulk] = [join(root, 'guest/photos'), join(root, 'guest/bulk')];
  mount(loopOver(join(root, 'first.img'), 48), at);
  mkdirSync(join(at, 'images'));
  mount(loopOver(join(at, 'images/vm.raw'), 16), photos);
  mkdirSync(join(at, 'subvol'));
  mount(join(at, 'subvol'), bulk, '--bind');

  const guest = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', 'echo up; exec sleep 600'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.after(() => guest.kill('SIGKILL'));
  await once(guest.stdout, 'data');
  // The host has them elsewhere, where Proxmox mounts them only while it hands them over.
  for (const path of [photos, bulk]) run('umount', path);

  const node = madeUpNode(join(root, 'node'));
  const show = (): void => {
    for (const [pid, from] of [
      ['1', 'self'],
      ['500', String(guest.pid)],
    ] as const)
      writeFileSync(join(node.places.proc, pid, 'mountinfo'), readFileSync(`/proc/${from}/mountinfo`));
  };
  node.writeConfig(9001, `mp0: usb1:9001/vm.raw,mp=${photos}\nmp1: usb1:9001/subvol,mp=${bulk}\n`);
  node.live(500, 5_000);
  writeFileSync(join(node.places.proc, '500/cgroup'), '0::/lxc/9001/ns\n');
  writeFileSync(join(node.places.proc, '500/status'), 'NSpid:\t500\t1\n');
  writeFileSync(join(node.places.proc, '500/uid_map'), '         0     100000      65536\n');
  const facts: MountFacts = {
    places: node.places,
    sys: '/sys',
    dev: '/dev',
    policy: hostPolicy.parse({
      v: 1,
      node: 'pve1',
      pool: 'felhom',
      vmids: { guests: { from: 9000, to: 9009 }, scratch: { from: 9800, to: 9809 } },
      bridges: ['vmbr0'],
      storages: ['local'],
      goldens: {},
    }),
    manifest: () => ({ is: 'held', manifest: { v: 1, targets: [declaredUsb] } }),
    mountRoot: join(root, 'mnt'),
  };
  const tools = {
    losetup: createHostCommand({ program: run('sh', '-c', 'command -v losetup'), timeoutMs: 15_000 }),
    stat: createHostCommand({ program: run('sh', '-c', 'command -v stat'), timeoutMs: 15_000 }),
  };
  const states = async (): Promise<string> => {
    show();
    const answer = await guestMounts(facts, tools, 9001 as Vmid);
    if (answer.is !== 'done') return answer.text;
    return answer.guestMounts.mounts.map(({ path, state }) => `${path.slice(root.length)} ${state}`).join();
  };
  return { root, at, run, mount, loopOver, states };
}

test('an image and a folder on a disk: live; gone with its mount; dead once another disk lies there', async (t) => {
  const made = await setUp(t);
  if (made === undefined) return;
  const { root, at, run, mount, loopOver, states } = made;
  assert.equal(await states(), '/guest/photos live,/guest/bulk live');
  // Why a disk that is back cannot be mounted before its guests are down: the image keeps the old one where it is.
  assert.throws(() => run('umount', at), /busy/);
  run('umount', '--lazy', at);
  assert.equal(await states(), '/guest/photos dead,/guest/bulk dead');
  mount(loopOver(join(root, 'second.img'), 48), at);
  assert.equal(await states(), '/guest/photos dead,/guest/bulk dead');
});
