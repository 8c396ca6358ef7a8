/**
 * What a guest's cgroup tree on the fake node shows: one that runs is booted ten seconds later and well, unless a story
 * says otherwise. Nothing of it is believed by anybody but through the port.
 */
import type { GuestWitness, WitnessSample } from '@felhom/agent';
import type { FakePveNode } from './enrolled-node.ts';

/** What is different `ms` after the start; `undefined`: nothing. */
export type WitnessScript = (vmid: number, ms: number, at: number) => Partial<Seen> | undefined;
type Seen = Extract<WitnessSample, { is: 'seen' }>;

export interface SimWitness extends GuestWitness {
  script(script: WitnessScript): void;
}

const bootMs = 10_000;
const units: Seen['units'] = new Map(
  ['felhom-ready.service', 'felhom-witness.service', 'felhom-supervisor.service'].map((name, at) => [
    name,
    { inode: String(at + 1), populated: true },
  ]),
);

export function createSimWitness(node: FakePveNode, clock: { now(): number }): SimWitness {
  /** Its start, as this witness saw it: a guest that was restarted in between has another one. */
  const upSince = new Map<number, number>();
  let script: WitnessScript = () => undefined;
  node.guests.onPower(({ vmid }) => void upSince.delete(vmid));
  return {
    sample: (vmid) => {
      if (!node.guests.exists(vmid) || !node.guests.isRunning(vmid)) return Promise.resolve({ is: 'stopped' });
      const at = clock.now();
      const since = upSince.get(vmid) ?? at;
      upSince.set(vmid, since);
      const booted = at - since >= bootMs;
      return Promise.resolve({
        is: 'seen',
        boot: String(since),
        frozen: false,
        init: true,
        units: booted ? units : new Map(),
        facts: booted ? [`beat.${Math.floor(at / 1000)}`, 'ok.supervisor'] : [],
        oomKills: 0,
        ...script(vmid, at - since, at),
      });
    },
    watch: () => undefined,
    script: (next) => {
      script = next;
    },
  };
}
