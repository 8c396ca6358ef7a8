/** A declared stick: mounted by what it is, told when it is pulled, attached again by itself, never mistaken for another. */
import assert from 'node:assert/strict';
import { mountPathOf } from '../../../packages/agent/src/storage-manifest.ts';
import { agentUnit, askRoot, until } from '../case.ts';
import type { VmCase } from '../case.ts';
import { configureVm, openHubSide } from '../hub-side.ts';
import type { HubSide } from '../hub-side.ts';
import type { Machine } from '../machine.ts';
import { measurePlug, measurePull, stickOf, untilWanted } from '../pulls.ts';
import { declarationsOf, makeDisk } from '../targets.ts';
import type { TestTarget } from '../targets.ts';

const mountOf = async (vm: Machine, name: string): Promise<string> =>
  (await vm.run(`findmnt -rno SOURCE,FSTYPE,OPTIONS --mountpoint ${mountPathOf(name)}`)).stdout.trim();

/** Its disk is in the kernel's and udev's hands. */
const untilSeen = (vm: Machine, { serial }: TestTarget): Promise<void> =>
  until(
    `a disk ${serial}`,
    60,
    async () => (await vm.run(`lsblk -dno SERIAL,UUID | grep -q '^${serial} .'`)).code === 0,
  );

const declare = (vm: Machine, targets: readonly TestTarget[]): Promise<string> =>
  vm.must('cat > /etc/felhom/storage.json', { input: declarationsOf(targets, true) });

async function cleanUp(vm: Machine, names: readonly string[], plugged: readonly string[]): Promise<void> {
  for (const name of plugged) await vm.pull(name).catch(() => undefined);
  for (const name of names)
    await vm.run(
      `u=$(systemd-escape -p --suffix=mount ${mountPathOf(name)}); systemctl stop $u; systemctl disable $u; ` +
        `rm -f /etc/systemd/system/$u; chattr -i ${mountPathOf(name)}; rmdir ${mountPathOf(name)}`,
    );
  await vm.run('rm -f /etc/felhom/storage.json; systemctl daemon-reload');
}

const mount = (operation: string, target: string): string => JSON.stringify({ v: 1, verb: 'mount', operation, target });

export const mountsByUuid: VmCase = {
  name: 'root mounts a declared stick by its UUID for the service user, and no other; its folder is closed without it',
  async run(vm) {
    const [stick, stranger] = [await makeDisk(vm.folder, 'backup-1'), await makeDisk(vm.folder, 'stranger')];
    const path = mountPathOf(stick.name);
    try {
      await declare(vm, [stick]);
      await vm.plug(stickOf(stick));
      await vm.plug(stickOf(stranger, 2));
      await untilSeen(vm, stick);
      await untilSeen(vm, stranger);
      const answers = await askRoot(vm, 'felhom', [mount('m.1', 'stranger'), mount('m.2', stick.name)]);
      const [refused, done] = answers.map((answer) => JSON.parse(answer) as { readonly is: string });
      assert.deepEqual([refused?.is, done?.is], ['refused', 'done'], answers.join('\n'));
      assert.match(await mountOf(vm, stick.name), /^\/dev\/sd[a-z] ext4 \S*\bnosuid\b/);
      assert.equal(await mountOf(vm, 'stranger'), '');
      assert.equal(await vm.must(`findmnt -rno UUID --mountpoint ${path}`), stick.uuid);
      await vm.pull(stick.name);
      await until('systemd has unmounted it', 60, async () => (await mountOf(vm, stick.name)) === '');
      assert.notEqual((await vm.run(`touch ${path}/lost`)).code, 0, 'root itself wrote where nothing is mounted');
      return undefined;
    } finally {
      await cleanUp(vm, [stick.name], [stick.name, stranger.name]);
    }
  },
};

/** With hub, node and one stick that root has mounted; the hub has been told that it is attached. */
async function withAttachedStick(
  vm: Machine,
  name: string,
  work: (hub: HubSide, stick: TestTarget) => Promise<string | undefined>,
): Promise<string | undefined> {
  const stick = await makeDisk(vm.folder, name);
  const hub = await openHubSide([stick]);
  try {
    await configureVm(vm, hub, declarationsOf([stick], true));
    await vm.plug(stickOf(stick));
    await untilSeen(vm, stick);
    await vm.must(`systemctl restart ${agentUnit}`);
    // The agent asks root to mount it the first time; from then on systemd does.
    await hub.untilTold(name, 'attached', 180);
    await untilWanted(vm, stick);
    return await work(hub, stick);
  } finally {
    await cleanUp(vm, [name], [name]);
    await vm.run(`systemctl stop ${agentUnit}; rm -f /etc/felhom/*.yaml /etc/felhom/token /etc/felhom/hub.key`);
    await hub.close();
  }
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;

export const tellsAPulledStick: VmCase = {
  name: 'a stick that is pulled is away at the hub within a second, and attached again by itself when it is back',
  run: (vm) =>
    withAttachedStick(vm, 'backup-2', async (hub, stick) => {
      const pulls = [await measurePull(vm, hub, stick)];
      const plugs = [await measurePlug(vm, hub, stick)];
      pulls.push(await measurePull(vm, hub, stick));
      plugs.push(await measurePlug(vm, hub, stick));
      const told = Math.min(...pulls.map(({ commandToHubMs }) => commandToHubMs));
      assert.ok(told < 1_000, `the hub had it ${seconds(told)} after the stick was pulled`);
      const each = (figures: readonly number[]): string => figures.map(seconds).join(' and ');
      return (
        `pulled to hub ${each(pulls.map(({ commandToHubMs }) => commandToHubMs))}; kernel to agent ` +
        `${each(pulls.map(({ kernelToAgentMs }) => kernelToAgentMs))}; plugged to attached ${each(plugs)}`
      );
    }),
};

export const refusesAnotherDisk: VmCase = {
  name: 'another disk in the same port is not taken for the target, nor is a copy of it',
  run: (vm) =>
    withAttachedStick(vm, 'backup-3', async (hub, stick) => {
      const away = (why: RegExp): Promise<number> => hub.untilTold(stick.name, 'disconnected', 120, why);
      const other = await makeDisk(vm.folder, 'other');
      const copy = { ...(await makeDisk(vm.folder, 'copy', { uuid: stick.uuid, marked: false })), serial: 'S-copy' };
      await vm.pull(stick.name);
      await away(/no disk with UUID|is gone/);
      await vm.plug(stickOf(other));
      await untilSeen(vm, other);
      await until('the stick is unmounted', 60, async () => (await mountOf(vm, stick.name)) === '');
      assert.equal(hub.told(stick.name)?.state, 'disconnected');
      await vm.pull(other.name);
      // The UUID is right, so systemd mounts it; the agent must not believe it.
      await vm.plug(stickOf(copy));
      await untilSeen(vm, copy);
      await away(/another disk|mark/);
      const asked = (await askRoot(vm, 'felhom', [mount('o.1', stick.name)])).join('');
      assert.equal((JSON.parse(asked) as { readonly is: string }).is, 'refused', asked);
      await vm.pull(copy.name);
      await until('the copy is gone', 60, async () => (await mountOf(vm, stick.name)) === '');
      await vm.plug(stickOf(stick));
      await hub.untilTold(stick.name, 'attached', 180);
      return undefined;
    }),
};
