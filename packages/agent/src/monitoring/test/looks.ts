/** Looks at a host that is well, to change one thing of. */
import { hostPolicy } from '../../host-policy.ts';
import type { HostPolicy } from '../../host-policy.ts';
import type { HostSample, UnitState } from '../../ports/host-facts.ts';
import type { HostLook } from '../judge-host.ts';

export const policy: HostPolicy['monitoring'] = hostPolicy.shape.monitoring.parse(undefined);

export const use = (percent: number) => ({ usedBytes: percent * 10, totalBytes: 1000 });

export const wellSample: HostSample = {
  uptimeSeconds: 86_400,
  cpu: { busy: 100, total: 1000, processors: 2 },
  load1: 0.3,
  memory: use(40),
  rootDisk: use(30),
  pressure: { cpu: 0, memory: 0, io: 0 },
  hottestC: 45,
};

export const unit = (name: string, change: Partial<UnitState> = {}): UnitState => ({
  unit: name,
  load: 'loaded',
  active: 'active',
  file: 'enabled',
  restarts: 0,
  result: 'success',
  job: false,
  ...change,
});

export const wellUnits: readonly UnitState[] = [
  unit('pveproxy.service'),
  unit('pvedaemon.service'),
  unit('pvestatd.service'),
  unit('pve-cluster.service'),
  unit('pvescheduler.service'),
  unit('shutdown.target', { active: 'inactive', file: 'static', result: '' }),
];

export const well: HostLook = {
  sample: wellSample,
  units: wellUnits,
  clockSynchronised: true,
  rebootPending: undefined,
  working: false,
};

export function withUnit(name: string, change: Partial<UnitState>): HostLook {
  return { ...well, units: wellUnits.map((one) => (one.unit === name ? { ...one, ...change } : one)) };
}

export const withSample = (change: Partial<HostSample>): HostLook => ({
  ...well,
  sample: { ...wellSample, ...change },
});
