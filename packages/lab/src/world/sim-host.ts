/** The host below a simulated agent: it is well until a test says otherwise. */
import { done } from '@felhom/agent';
import type { MonitoringPorts, PveClient } from '@felhom/agent';

type Host = MonitoringPorts['host'];
type Told<M extends keyof Host> = Awaited<ReturnType<Host[M]>>;

export interface SimHost {
  sample: Told<'sample'>;
  units: Extract<Told<'units'>, { is: 'done' }>['value'];
  /** Connections of the tunnel to the edge. */
  connections: number;
  /** Names of the outside are answered. */
  internet: boolean;
  ports(pve: Pick<PveClient, 'disks' | 'login'>): MonitoringPorts;
}

const services = ['pve-cluster', 'pvedaemon', 'pveproxy', 'pvestatd', 'pvescheduler', 'felhom-cloudflared'];
const gib = 1024 ** 3;

export function createSimHost(): SimHost {
  const unit = { load: 'loaded', active: 'active', file: 'enabled', restarts: 0, result: 'success', job: false };
  const rules = [{ hostname: 'photos.example', path: '', service: 'http://10.98.0.5:80' }];
  const host: SimHost = {
    sample: {
      uptimeSeconds: 86_400,
      cpu: { busy: 100, total: 1000, processors: 4 },
      load1: 0.2,
      memory: { usedBytes: 4 * gib, totalBytes: 16 * gib },
      rootDisk: { usedBytes: 20 * gib, totalBytes: 100 * gib },
      pressure: { cpu: 0, memory: 0, io: 0 },
      hottestC: 45,
    },
    units: services.map((name) => ({ unit: `${name}.service`, ...unit })),
    connections: 4,
    internet: true,
    ports: ({ disks, login }) => ({
      host: {
        sample: async () => host.sample,
        units: async () => done(host.units),
        clockSynchronised: async () => done(true),
        rebootPending: async () => done(undefined),
        fence: async () => done({ allowed: [], own: [] }),
      },
      disks,
      login,
      smart: undefined,
      tunnel: {
        endpoint: {
          connections: async () => done(host.connections),
          ingress: async () => done({ rules, privateNetworks: false }),
        },
        declared: async () => done(rules),
      },
      internet: async () => host.internet,
      endings: () => [],
    }),
  };
  return host;
}
