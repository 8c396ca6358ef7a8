/** Monitoring put into the agent: what it may ask of the other rooms. A world without a host of its own has none to watch. */
import type { HostVitals, Report } from '@felhom/protocol';
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

/** What the agent was given, as far as it is needed here. */
export interface HostParts extends Pick<MonitoringNeeds, 'tokenId' | 'clock' | 'log'> {
  readonly journal: MonitoringNeeds['documents'];
  readonly monitoring?: HostPorts | undefined;
  /** Shown where nobody looks at the host. */
  readonly vitals?: (() => HostVitals | undefined) | undefined;
}

export interface HostWorld extends Pick<
  MonitoringNeeds,
  'tasks' | 'node' | 'restartTunnel' | 'mayMend' | 'policy' | 'rows' | 'working' | 'hubReached' | 'news' | 'watch'
> {
  /** How full the storage targets are. */
  readonly targets: () => HostVitals['targets'];
  readonly inFlight: () => InFlight;
  readonly registry: () => readonly GuestRecord[];
}

export interface WatchedHost extends Omit<Monitoring, 'look' | 'disks' | 'tunnel' | 'tunnelDeclared'> {
  /** What of it is part of the report. */
  reported(): Pick<Report, 'disks' | 'tunnel' | 'tunnelDeclared'>;
}

export function watchHost(parts: HostParts, world: HostWorld): WatchedHost {
  const { monitoring: ports, journal, tokenId, clock, log } = parts;
  if (ports === undefined)
    return {
      run: () => Promise.resolve(),
      findings: () => [],
      vitals: () => parts.vitals?.(),
      reported: () => ({ disks: [], tunnel: { is: 'none' } }),
    };
  const monitoring = createMonitoring({
    ...ports,
    ...world,
    documents: journal,
    tokenId,
    clock,
    log,
    inHand: () => {
      const { names, vmids } = world.inFlight();
      return new Set([...vmids, ...world.registry().flatMap(({ name, vmid }) => (names.has(name) ? [vmid] : []))]);
    },
  });
  return {
    ...monitoring,
    reported: () => ({
      disks: [...monitoring.disks()],
      tunnel: monitoring.tunnel(),
      tunnelDeclared: monitoring.tunnelDeclared(),
    }),
    findings: () => [...monitoring.findings(), ...(ports.gate === undefined ? [] : findingsOfSlots(ports.gate()))],
    vitals: () => {
      const numbers = monitoring.vitals();
      return numbers === undefined ? undefined : { ...numbers, targets: world.targets() };
    },
  };
}
