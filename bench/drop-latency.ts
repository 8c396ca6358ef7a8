/** How long after a disk is gone the hub knows: a USB stick pulled from a VM, and loop devices on this machine. */
import { restore } from '../scripts/vm/machine.ts';
import { agentUnit } from '../scripts/vm/case.ts';
import { configureVm, openHubSide } from '../scripts/vm/hub-side.ts';
import { ensureImage } from '../scripts/vm/image.ts';
import { install } from '../scripts/vm/install.ts';
import { pullAndPlug, stickOf } from '../scripts/vm/pulls.ts';
import type { Pull } from '../scripts/vm/pulls.ts';
import { ensureRequirements } from '../scripts/vm/requirements.ts';
import { declarationsOf, makeDisk } from '../scripts/vm/targets.ts';
import type { TestTarget } from '../scripts/vm/targets.ts';
import { dropsPerTarget, measureLoopDrops, noLoopDevices } from './loop-drops.ts';
import type { BenchOptions, Section, SectionResult } from './section.ts';
import { figure, median, quantile } from './statistics.ts';

/** 51 drops. */
const targets = 17;

async function run({ quick, tell }: BenchOptions): Promise<SectionResult> {
  const rows: string[][] = [];
  const notes: string[] = [];
  const figures: Record<string, number> = {};
  const add = (name: string, what: string, values: readonly number[]): void => {
    if (values.length === 0) return;
    const [least, middle, most] = [Math.min(...values), median(values), quantile(values, 0.99)];
    rows.push([what, String(values.length), ...[least, middle, most].map(figure)]);
    for (const [kind, value] of Object.entries({ min: least, median: middle, p99: most }))
      figures[`${name} ${kind}`] = value;
  };
  const without = await noLoopDevices();
  if (without === undefined)
    add(
      'loop to hub',
      'loop device: unmount command to report in the hub',
      await measureLoopDrops(quick ? 1 : targets, tell),
    );
  else notes.push(`No loop devices were measured: ${without}.`);
  const requirements = quick ? { is: 'missing' as const, why: 'this was a quick run' } : ensureRequirements(tell);
  if (requirements.is === 'there') {
    const pulls = await measurePulls(targets, tell);
    const of = (what: keyof Pull): number[] => pulls.map((pull) => pull[what]);
    add('kernel to agent', "USB stick: the kernel's word to the agent's (clock of the VM)", of('kernelToAgentMs'));
    add('pull to hub', 'USB stick: command to QEMU to report in the hub', of('commandToHubMs'));
    add('plug to attached', 'USB stick plugged again, to the report that it is attached', of('plugToAttachedMs'));
  } else notes.push(`No stick was pulled: ${requirements.why}.`);
  return {
    tables: [{ title: 'A disk that is gone', columns: ['milliseconds', 'drops', 'min', 'median', 'p99'], rows }],
    notes: [
      `Agent, hub and the lab's node run as they are; hub and node on this machine. ${dropsPerTarget} drops of each of several targets, so that none of them is damped, each after a rest, because polls out of turn are at most one in three seconds.`,
      'The VM is QEMU without KVM: its processor is some ten times slower than that of a real host.',
      ...notes,
    ],
    figures,
  };
}

async function measurePulls(count: number, tell: (text: string) => void): Promise<Pull[]> {
  const never = new AbortController().signal;
  const image = await ensureImage(tell, never);
  const vm = await restore(image.files, never);
  const pulls: Pull[] = [];
  try {
    await install(vm);
    const sticks: TestTarget[] = [];
    for (let at = 1; at <= count; at += 1) sticks.push(await makeDisk(vm.folder, `stick-${at}`));
    const hub = await openHubSide(sticks);
    try {
      await configureVm(vm, hub, declarationsOf(sticks, true));
      await vm.must(`systemctl start ${agentUnit}`);
      for (const stick of sticks) {
        tell(`stick ${stick.name}`);
        await vm.plug(stickOf(stick));
        await hub.untilTold(stick.name, 'attached', 180);
        for (let pull = 0; pull < dropsPerTarget; pull += 1) pulls.push(await pullAndPlug(vm, hub, stick));
        await vm.pull(stick.name);
      }
    } finally {
      await hub.close();
    }
    return pulls;
  } finally {
    await vm.end();
  }
}

export const dropLatency: Section = { name: 'drop-latency', title: 'A disk that is pulled', run };
