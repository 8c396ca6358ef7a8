/**
 * The agent's configuration, `/etc/felhom/agent.yaml`: where things are. What the agent may do stands in the policy
 * file instead (`host-policy.ts`). Parsed once, frozen, passed down. Secrets are named by file, never by value.
 */
import { z } from 'zod';
import { hostId } from '@felhom/protocol';

const path = z
  .string()
  .max(400)
  .regex(/^\/[^\0\n]*$/, 'an absolute path');

/** A server is known by the CA that signs it or by its public key; a certificate's fingerprint changes too often. */
const trust = z.union([
  z.strictObject({ caFile: path }),
  z.strictObject({ spkiSha256: z.string().regex(/^[0-9a-f]{64}$/, 'SHA-256 of the public key, 64 hex digits') }),
]);

/** How root is reached: a socket of systemd, or a program and its fixed arguments, to which nothing is ever added. */
const rootHelper = z.union([
  z.strictObject({ socket: path }),
  z.strictObject({ command: z.array(z.string().min(1)).min(1).max(16) }),
]);
export type RootHelper = z.output<typeof rootHelper>;

export const agentConfig = z.strictObject({
  v: z.literal(1),
  host: hostId,
  stateDirectory: path.default('/var/lib/felhom'),
  policyFile: path.default('/etc/felhom/policy.yaml'),
  /** Whose signatures count. Root's; `trustOwner` is another user only where everything runs as that user, as in a lab. */
  trustFile: path.default('/etc/felhom/trust.json'),
  trustOwner: z.number().int().min(0).default(0),
  adminSocket: path.default('/run/felhom/agent.sock'),
  proxmox: z.strictObject({
    url: z.url({ protocol: /^https$/ }).default('https://localhost:8006'),
    /** One line, `USER@REALM!TOKENID=SECRET`. */
    tokenFile: path,
    trust,
  }),
  /** Where desired state comes from: a hub, or a YAML file on this host (standalone). */
  desired: z.union([
    z.strictObject({ hub: z.strictObject({ url: z.url({ protocol: /^https$/ }), keyFile: path, trust }) }),
    z.strictObject({ file: path }),
  ]),
  /** Root's program, `felhom-agent root-verb`; absent, whatever needs root is parked with the reason. */
  helper: rootHelper.optional(),
  /** Another one for what takes the operators' envelope; absent, `helper` is asked. */
  signedHelper: rootHelper.optional(),
  /** Where guests reach their host; absent: they do not, and nothing is app-consistent. */
  localApi: z
    .strictObject({
      /** An address of a bridge that guests are on. IPv4, because a guest is told from another by the kernel's ARP
       * table; neighbours of IPv6 are not in it. */
      listen: z.strictObject({
        address: z.ipv4(),
        port: z.number().int().min(1).max(65_535).default(8470),
      }),
    })
    .optional(),
  /** Where the kernel shows neighbours, bridges and cgroups; elsewhere only in a lab. */
  kernel: z
    .strictObject({
      arp: path.default('/proc/net/arp'),
      net: path.default('/sys/class/net'),
      cgroup: path.default('/sys/fs/cgroup'),
      proc: path.default('/proc'),
      sys: path.default('/sys'),
      boot: path.default('/boot'),
      run: path.default('/run'),
      /** Below it each declared disk has a folder of its own. */
      mounts: path.default('/mnt/felhom'),
    })
    .prefault({}),
  /** The targets that root declared. */
  storageFile: path.default('/etc/felhom/storage.json'),
  /** Where the health gate keeps what it found. */
  gateDirectory: path.default('/var/lib/felhom-gate'),
  /** Whether this machine is looked at too; off where the agent runs beside its node, as in a lab. */
  watchHost: z.boolean().default(true),
  /** The tunnel to the guests: its port for metrics on loopback, and the file that root declared its ingress in. */
  tunnel: z
    .strictObject({
      metricsPort: z.number().int().min(1).max(65_535).default(20_241),
      ingressFile: path.default('/etc/felhom/tunnel.yml'),
      /** What operators signed, which the other is made from. */
      rulesFile: path.default('/etc/felhom/tunnel-rules.json'),
    })
    .prefault({}),
  /** `/metrics` on loopback; absent: nobody listens. */
  metrics: z.strictObject({ port: z.number().int().min(1).max(65_535) }).optional(),
  reconcile: z.strictObject({ everySeconds: z.number().min(1).max(900).default(30) }).prefault({}),
});
export type AgentConfig = z.output<typeof agentConfig>;
export type Trust = z.output<typeof trust>;
