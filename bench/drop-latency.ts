/** How long after a disk is gone the hub knows: a USB stick pulled from a VM, and loop devices on this machine. */
import { restore } from '../scripts/vm/machine.ts';
import { agentUnit } from '../scripts/vm/case.ts';
import { configureVm, openHubSide } from '../scripts/vm/hub-side.ts';
import { ensureImage } from '../scripts/vm/image.ts';
import { install } from '../scripts/vm/install.ts';
import { measurePlug, measurePull } from '../scripts/vm/pulls.ts';
import type { Pull } from '../scripts/vm/pulls.ts';
import { ensureRequirements } from '../scripts/vm/requirements.ts';
import { declarationsOf, makeDisk } from '../scripts/vm/targets.ts';
import type { TestTarget } from '../scripts/vm/targets.ts';
import { dropsPerTarget, measureLoopDrops, noLoopDevices } from './loop-drops.ts';
import type { BenchOptions, Section, SectionResult } from './section.ts';
import { figure, median, quantile } from './statistics.ts';

/** 51 drops. */
const targets = 17;

const columns = ['milliseconds', 'drops', 'min', 'median', 'p99'];
const alike =
  `Agent, hub and the lab's node run as they are. ${dropsPerTarget} drops of each target, so that none of them is damped, ` +
  'each after a rest, because polls out of turn are at most one in three seconds.';

const row = (what: string, values: readonly number[]): string[] => [
  what,
  String(values.length),
  ...[Math.min(...values), median(values), quantile(values, 0.99)].map(figure),
];
const figuresOf = (values: readonly number[]): Record<string, number> => ({
  min: Math.min(...values),
  median: median(values),
  p99: quantile(values, 0.99),
});
const nothing = (why: string): SectionResult => ({ tables: [], notes: [`Not measured: ${why}.`], figures: {} });

export const loopDrops: Section = {
  name: 'loop-drops',
  title: 'A disk that goes away: loop devices',
  async run({ quick, tell }: BenchOptions) {
    const without = await noLoopDevices();
    if (without !== undefined) return nothing(without);
    const taken = await measureLoopDrops(quick ? 1 : targets, tell);
    return {
      tables: [
        { title: 'From umount to the hub', columns, rows: [row('unmount command to report in the hub', taken)] },
      ],
      notes: [alike, 'The two commands that take the device away are in it.'],
      figures: figuresOf(taken),
    };
  },
};

export const stickPulls: Section = {
  name: 'stick-pulls',
  title: 'A disk that goes away: USB sticks of a VM',
  async run({ quick, tell }: BenchOptions) {
    const requirements = ensureRequirements(tell);
    if (requirements.is === 'missing') return nothing(requirements.why);
    const { pulls, plugs } = await measurePulls(quick ? 1 : targets, tell);
    const of = (what: keyof Pull): number[] => pulls.map((pull) => pull[what]);
    return {
      tables: [
        {
          title: 'From the pull to the hub',
          columns,
          rows: [
            row("kernel's word to the agent's, clock of the VM", of('kernelToAgentMs')),
            row('command to QEMU to report in the hub', of('commandToHubMs')),
            row('plugged in to report that it is attached', plugs),
          ],
        },
      ],
      notes: [
        alike,
        'The VM is QEMU without KVM, so its processor is some ten times slower than that of a real host. Hub and node are outside of it.',
      ],
      figures: figuresOf(of('commandToHubMs')),
    };
  },
};

interface Measured {
  readonly pulls: readonly Pull[];
  /** Milliseconds. */
  readonly plugs: readonly number[];
}

async function measurePulls(count: number, tell: (text: string) => void): Promise<Measured> {
  const never = new AbortController().signal;
  const image = await ensureImage(tell, never);
  const vm = await restore(image.files, never);
  const [pulls, plugs]: [Pull[], number[]] = [[], []];
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
        for (let pull = 0; pull < dropsPerTarget; pull += 1) {
          plugs.push(await measurePlug(vm, hub, stick));
          pulls.push(await measurePull(vm, hub, stick));
        }
      }
    } finally {
      await hub.close();
    }
    return { pulls, plugs };
  } finally {
    await vm.end();
  }
}
