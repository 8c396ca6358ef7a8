/** A stick is pulled and plugged again, and it is measured until who knows of it. */
import { setTimeout as wait } from 'node:timers/promises';
import { mountPathOf } from '../../packages/agent/src/storage-manifest.ts';
import { agentUnit, until } from './case.ts';
import type { HubSide } from './hub-side.ts';
import type { Machine, Stick } from './machine.ts';
import type { TestTarget } from './targets.ts';

export interface Pull {
  /** By the VM's clock: from the kernel's word that the device is gone to the agent's that the target is away. */
  readonly kernelToAgentMs: number;
  /** By this machine's clock: from the command to QEMU to the report in the store of the hub. */
  readonly commandToHubMs: number;
}

export const stickOf = ({ name, file, serial }: TestTarget, port = 1): Stick => ({ name, file, serial, port });

/** At most one poll out of turn per three seconds: what comes sooner waits for its turn, and that is not measured here. */
const restMs = 3_500;

/**
 * Root mounted it, looked at its mark and said that it is wanted: from then on systemd mounts it whenever it is plugged in.
 * Without KVM that comes many seconds after the report that it is attached.
 */
export const untilWanted = (vm: Machine, { name }: TestTarget): Promise<void> =>
  until(`the unit of ${name} is enabled`, 180, async () => {
    const unit = `$(systemd-escape -p --suffix=mount ${mountPathOf(name)})`;
    return (await vm.run(`systemctl -q is-enabled ${unit}`)).code === 0;
  });

/** It has to be plugged in and attached. */
export async function measurePull(vm: Machine, hub: HubSide, target: TestTarget): Promise<Pull> {
  await untilWanted(vm, target);
  await wait(restMs);
  const cursor = await vm.must('journalctl -n 0 -q --show-cursor | sed -n "s/^-- cursor: //p"');
  const pulled = performance.now();
  await vm.pull(target.name);
  const commandToHubMs = (await hub.untilTold(target.name, 'disconnected', 60)) - pulled;
  const kernelToAgentMs = betweenWords(
    await vm.must(`journalctl -q -o json --after-cursor='${cursor}' _TRANSPORT=kernel + _SYSTEMD_UNIT=${agentUnit}`),
    target.name,
  );
  return { kernelToAgentMs, commandToHubMs };
}

/** Milliseconds, by this machine's clock, from the command that plugs it in to the report that it is attached. */
export async function measurePlug(vm: Machine, hub: HubSide, target: TestTarget): Promise<number> {
  const plugged = performance.now();
  await vm.plug(stickOf(target));
  return (await hub.untilTold(target.name, 'attached', 180)) - plugged;
}

/** `_SOURCE_MONOTONIC_TIMESTAMP`: when the kernel wrote its line; `_SOURCE_REALTIME_TIMESTAMP`: when the agent sent its. */
type Entry = Readonly<Record<string, string | undefined>>;

/** Lines of `journalctl -o json`. Throws where one of the two said nothing. */
export function betweenWords(journal: string, target: string): number {
  const entries = journal
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Entry);
  const kernel = entries.find((entry) => entry['MESSAGE']?.includes('USB disconnect'));
  const agent = entries.find((entry) => entry['FELHOM_TARGET'] === target && entry['FELHOM_STATE'] === 'disconnected');
  if (kernel === undefined || agent === undefined)
    throw new Error(`cannot tell how long it took: ${kernel === undefined ? 'the kernel' : 'the agent'} said nothing`);
  return (sentAt(agent) - sentAt(kernel)) / 1000;
}

/** Microseconds since the kernel started, by its own clock; journald's own time is later by what it had to wait. */
function sentAt(entry: Entry): number {
  const { _SOURCE_MONOTONIC_TIMESTAMP: written, _SOURCE_REALTIME_TIMESTAMP: sent } = entry;
  if (written !== undefined) return Number(written);
  const { __MONOTONIC_TIMESTAMP: received, __REALTIME_TIMESTAMP: receivedAt } = entry;
  return Number(received) - (sent === undefined ? 0 : Number(receivedAt) - Number(sent));
}
