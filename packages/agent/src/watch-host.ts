/** Monitoring put into the agent: what it may ask of the other rooms. A world without a host of its own has none to watch. */
import type { HostVitals } from '@felhom/protocol';
import type { GuestRecord } from './authority/guest-record.ts';
import type { InFlight } from './guests/index.ts';
import { createMonitoring } from './monitoring/index.ts';
import type { Monitoring, MonitoringNeeds, MonitoringPorts } from './monitoring/index.ts';
import type { ReadGate } from './ports/slots.ts';
import { findingsOfSlots } from './slots.ts';

export interface HostPorts extends MonitoringPorts {
  /** Builds of the agent on trial; absent where there is no health gate. */
  readonly gate?: ReadGate;
}

export interface HostWorld extends Pick<
  MonitoringNeeds,
  | 'tasks'
  | 'node'
  | 'restartTunnel'
  | 'documents'
  | 'tokenId'
  | 'policy'
  | 'rows'
  | 'working'
  | 'hubReached'
  | 'news'
  | 'watch'
  | 'clock'
> {
  /** Shown where nobody looks at the host. */
  readonly vitals: (() => HostVitals | undefined) | undefined;
  /** How full the storage targets are. */
  readonly targets: () => HostVitals['targets'];
  readonly inFlight: () => InFlight;
  readonly registry: () => readonly GuestRecord[];
}

export function watchHost(ports: HostPorts | undefined, world: HostWorld): Omit<Monitoring, 'look'> {
  if (ports === undefined)
    return {
      run: () => Promise.resolve(),
      findings: () => [],
      vitals: () => world.vitals?.(),
      disks: () => [],
      tunnel: () => ({ is: 'none' }),
    };
  const monitoring = createMonitoring({
    ...ports,
    ...world,
    inHand: () => {
      const { names, vmids } = world.inFlight();
      return new Set([...vmids, ...world.registry().flatMap(({ name, vmid }) => (names.has(name) ? [vmid] : []))]);
    },
  });
  return {
    ...monitoring,
    findings: () => [...monitoring.findings(), ...(ports.gate === undefined ? [] : findingsOfSlots(ports.gate()))],
    vitals: () => {
      const numbers = monitoring.vitals();
      return numbers === undefined ? undefined : { ...numbers, targets: world.targets() };
    },
  };
}
